-- Append a request's events to one video's log and forward them in one atomic step, so that inboxes receive
-- them in offset order.
--
-- KEYS  log meta nodes viewers state token held
-- ARGV  1 video  2 offered epoch  3 known epoch  4 known offset
--       5 how many lines  6 how many ids: none, or one for each line, empty for none
--       7 whether lines are keyed (1 or 0)
--       then the lines, then the ids
--
-- Returns `epoch first number duplicates cursor stale held nodes`, with duplicates and stale events as comma-separated
-- indexes from 0, or `-`; `full` instead of the latter: the state has no room, nothing was appended. `held`: the
-- milliseconds for which a node holds back the video's publishers. `nodes`: to how many it was forwarded.
-- The reply is stored under the token: a repeated request gets it again, and is not appended.

local token = KEYS[6]
local answered = call('GET', token)
if answered then return answered end

local video, lines, ids = ARGV[1], tonumber(ARGV[5]), tonumber(ARGV[6])
local epoch, before, number, others, at, marks, settled, kept = open_log(meta, log, ARGV[2], ARGV[3], ARGV[4])
if not settled then return redis.error_reply(UNSETTLED) end
local now = now_ms()
local first, first_number = before + 1, number + 1

local keyed = ARGV[7] == '1'
if keyed and not has_room(state, 8, lines, now) then
  return epoch .. ' ' .. first .. ' ' .. first_number .. ' - ' .. cursor(epoch, number, others) .. ' full 0 0'
end

-- Drop duplicates and events older than the state; number and log the others.
local accepted, duplicates, stale, offset, last = {}, {}, {}, before, 0
local by = ORIGIN .. ' ' .. epoch .. ' '
for i = 1, lines do
  local id, line = ids > 0 and ARGV[7 + lines + i] or '', ARGV[7 + i]
  if id ~= '' and not call('SET', 'ls:{' .. video .. '}:ids:i:' .. id, 1, 'NX', 'PX', IDS) then
    duplicates[#duplicates + 1] = i - 1
  elseif keyed and not fold(state, line) then
    stale[#stale + 1] = i - 1
  else
    offset, number = offset + 1, number + 1
    accepted[#accepted + 1] = line
    kept = add_entry(log, offset, by, number, kept, line)
    if kept == number then last = offset end
  end
end

local nodes_sent = 0
if offset > before then
  call('HSET', meta, 'offset', offset, 'number', number, 'at', now, 'kept', kept)
  if last > 0 then call('HSET', meta, 'last', last) end
  local batch
  batch, nodes_sent = appended(video, epoch, first, by .. first_number, accepted, at, marks, now)
  publish_to_feed(batch)
end

local function indexes(found) return found[1] and table.concat(found, ',') or '-' end
local answer = epoch .. ' ' .. first .. ' ' .. first_number .. ' ' .. indexes(duplicates) .. ' '
  .. cursor(epoch, number, others) .. ' ' .. indexes(stale) .. ' ' .. math.max(call('PTTL', KEYS[7]), 0)
  .. ' ' .. nodes_sent
call('SET', token, answer, 'PX', TOKENS)
return answer
