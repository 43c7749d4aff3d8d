-- Append a parcel to one video's log and forward it: one atomic step, so that what goes out on an
-- inbox is in offset order.
--
-- KEYS  log meta nodes viewers token
-- ARGV  1 video  2 offered epoch  3 known epoch  4 known offset
--       5 how many lines  6 how many ids: none, or one for each line, empty for none
--       then the lines, then the ids
--
-- Returns `epoch first number duplicates cursor`, duplicates as indexes from 0 with commas, or `-`.
-- The same is kept under the token: a parcel that comes again is answered, not appended.

local log, meta, nodes, viewers, token = unpack(KEYS)
local answered = call('GET', token)
if answered then return answered end

local video, lines, ids = ARGV[1], tonumber(ARGV[5]), tonumber(ARGV[6])
local epoch, before, number, others, at, marks, run = open_log(meta, log, ARGV[2], ARGV[3], ARGV[4])
if not has_settled(meta, run) then return redis.error_reply('RESTARTED it has restarted, and waits until all are back') end
local now = now_ms()
local first, first_number = before + 1, number + 1

-- Duplicates out, the others numbered and logged.
local accepted, duplicates, offset = {}, {}, before
local by = ORIGIN .. ' ' .. epoch .. ' '
for i = 1, lines do
  local id = ids > 0 and ARGV[6 + lines + i] or ''
  if id ~= '' and not call('SET', 'ls:{' .. video .. '}:ids:i:' .. id, 1, 'NX', 'PX', IDS) then
    duplicates[#duplicates + 1] = i - 1
  else
    local line = ARGV[6 + i]
    offset, number = offset + 1, number + 1
    accepted[#accepted + 1] = line
    call('XADD', log, offset .. '-0', 'o', by .. number, 'l', line)
  end
end

if offset > before then
  call('HSET', meta, 'offset', offset, 'number', number, 'at', now)
  call('PEXPIRE', log, IDLE)
  -- Once in half a minute will do for meta, as it lives longer than the log by more than that.
  if math.floor(now / 30000) ~= math.floor(at / 30000) then call('PEXPIRE', meta, IDLE + META_LIVES_ON) end

  -- By length: whole nodes of the stream only, which leaves up to a hundred events more.
  if offset > EVENTS then call('XTRIM', log, 'MAXLEN', '~', EVENTS) end

  -- By age: an entry's id is its offset, not its time, so eight times within the age a mark `time
  -- offset` is kept: everything up to that offset is at least that old. What the newest mark beyond
  -- the age covers goes.
  if at > 0 then
    local newest, gone, kept = 0, 0, {}
    for time, upto in string.gmatch(marks, '(%d+) (%d+)') do
      newest = tonumber(time)
      if newest <= now - AGE then gone = upto else kept[#kept + 1] = time .. ' ' .. upto end
    end
    if at <= now - AGE then
      gone, kept = before, {}
    elseif at - newest >= AGE / 8 then
      kept[#kept + 1] = string.format('%d %d', at, before)
    end
    kept = table.concat(kept, ',')
    if kept ~= marks then call('HSET', meta, 'marks', kept) end
    if gone ~= 0 then call('XTRIM', log, 'MINID', (gone + 1) .. '-0') end
  end

  -- Forwarded: to the feed, and to each node with a living lease. A row goes when its lease has
  -- ended, or when nobody listened: that node is dead, or will renew its row once it listens again.
  local head = video .. ' ' .. epoch .. ' ' .. first .. ' ' .. by .. first_number .. '\n'
  local batch = head .. table.concat(accepted, '\n')
  call('PUBLISH', 'ls:feed', batch)
  local rows = call('ZRANGE', nodes, 0, -1, 'WITHSCORES')
  for i = 1, #rows, 2 do
    local node = rows[i]
    if tonumber(rows[i + 1]) <= now or call('PUBLISH', 'ls:inbox:' .. node, batch) == 0 then
      call('ZREM', nodes, node)
      call('HDEL', viewers, node)
    end
  end
end

local twice = duplicates[1] and table.concat(duplicates, ',') or '-'
local answer = epoch .. ' ' .. first .. ' ' .. first_number .. ' ' .. twice .. ' ' .. cursor(epoch, number, others)
call('SET', token, answer, 'PX', TOKENS)
return answer
