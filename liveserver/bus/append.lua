-- Append a parcel to one video's log and forward it: one atomic step, so that what goes out on an
-- inbox is in offset order.
--
-- KEYS  log meta nodes viewers token
-- ARGV  1 video  2 origin  3 offered epoch  4 known epoch  5 known offset
--       6 log.events  7 log.age  8 log.idle  9 ids' window  10 token's window (all in ms)
--       11 how many lines  12 how many ids: none, or one for each line, empty for none
--       then the lines, then the ids
--
-- Returns `epoch first number duplicates cursor`, duplicates as indexes from 0 with commas, or `-`.
-- The same is kept under the token: a parcel that comes again is answered, not appended.

local log, meta, nodes, viewers, token = unpack(KEYS)
local answered = redis.call('GET', token)
if answered then return answered end

local video, origin = ARGV[1], ARGV[2]
local age, idle = tonumber(ARGV[7]), tonumber(ARGV[8])
local lines, ids = tonumber(ARGV[11]), tonumber(ARGV[12])
local fields = open_log(meta, log, origin, ARGV[3], ARGV[4], ARGV[5], idle)
local now = now_ms()
local epoch, before = fields.epoch, tonumber(fields.offset)
local number = tonumber(fields['n:' .. origin])
local first, first_number = before + 1, number + 1

-- Duplicates out, the others numbered and logged.
local accepted, duplicates, offset = {}, {}, before
for i = 1, lines do
  local id = ids > 0 and ARGV[12 + lines + i] or ''
  if id ~= '' and not redis.call('SET', 'ls:{' .. video .. '}:ids:i:' .. id, 1, 'NX', 'PX', ARGV[9]) then
    duplicates[#duplicates + 1] = i - 1
  else
    offset, number = offset + 1, number + 1
    local line = ARGV[12 + i]
    accepted[#accepted + 1] = line
    redis.call('XADD', log, offset .. '-0', 'o', origin .. ' ' .. epoch .. ' ' .. number, 'l', line)
  end
end
fields.offset, fields['n:' .. origin] = offset, number

if offset > before then
  redis.call('HSET', meta, 'offset', offset, 'n:' .. origin, number, 'at', now)
  redis.call('PEXPIRE', meta, idle + 60000)
  redis.call('PEXPIRE', log, idle)

  -- By length: whole nodes of the stream only, up to a hundred events more than asked for.
  if offset > tonumber(ARGV[6]) then redis.call('XTRIM', log, 'MAXLEN', '~', ARGV[6]) end

  -- By age: an entry's id is its offset, not its time, so now and then (eight times within the age)
  -- a mark `at offset` is kept: everything up to that offset is at least as old as that. What the
  -- newest outlived mark covers goes.
  local at, marks, newest, gone = tonumber(fields.at), {}, 0, nil
  for time, upto in string.gmatch(fields.marks or '', '(%d+) (%d+)') do
    newest = tonumber(time)
    if newest <= now - age then gone = upto else marks[#marks + 1] = time .. ' ' .. upto end
  end
  if at and at - newest >= age / 8 then
    if at <= now - age then gone, marks = before, {} else marks[#marks + 1] = at .. ' ' .. before end
    redis.call('HSET', meta, 'marks', table.concat(marks, ','))
  elseif gone then
    redis.call('HSET', meta, 'marks', table.concat(marks, ','))
  end
  if gone then redis.call('XTRIM', log, 'MINID', (gone + 1) .. '-0') end

  -- Forwarded: to the feed, and to each node with a living lease. A row goes when its lease has
  -- ended, or when nobody listened: that node is dead, or will renew its row once it listens again.
  local head = table.concat({video, epoch, first, origin, epoch, first_number}, ' ')
  local batch = head .. '\n' .. table.concat(accepted, '\n')
  redis.call('PUBLISH', 'ls:feed', batch)
  local rows = redis.call('ZRANGE', nodes, 0, -1, 'WITHSCORES')
  for i = 1, #rows, 2 do
    local node = rows[i]
    if tonumber(rows[i + 1]) <= now or redis.call('PUBLISH', 'ls:inbox:' .. node, batch) == 0 then
      redis.call('ZREM', nodes, node)
      redis.call('HDEL', viewers, node)
    end
  end
end

local twice = #duplicates > 0 and table.concat(duplicates, ',') or '-'
local answer = table.concat({epoch, first, first_number, twice, cursor(fields)}, ' ')
redis.call('SET', token, answer, 'PX', ARGV[10])
return answer
