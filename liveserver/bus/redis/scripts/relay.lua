-- Append another datacenter's events to one video's log, each once and in their origin's order, and
-- forward them to our nodes; not to the feed, from which the other datacenters would get them twice.
--
-- KEYS  log meta nodes viewers state
-- ARGV  1 video  2 offered epoch  3 known epoch  4 known offset
--       5 origin  6 its epoch  7 its number of the first line  8 the last line's offset in its log
--       9 this log's position when these were read from the origin's log; empty: received from its feed
--       then the lines
--
-- Returns `epoch offset position`: the log's end, and its resulting position in this origin, as
-- `epoch number offset` of the last event replicated, or `- 0 0`.

local video, origin, theirs = ARGV[1], ARGV[5], ARGV[6]
local first, lines = tonumber(ARGV[7]), #ARGV - 9
local epoch, before, _, others, at, marks, settled = open_log(meta, log, ARGV[2], ARGV[3], ARGV[4])
if not settled then return redis.error_reply(UNSETTLED) end

local mark = string.match('~' .. others .. '~', '~(' .. origin .. '%-[^~]+)~')
local known, number, place = '-', 0, 0
if mark then
  known, number = string.match(mark, '%-(%w+)%-(%d+)')
  number, place = tonumber(number), tonumber(call('HGET', meta, 'from:' .. origin) or 0)
end
local standing = known .. ' ' .. number .. ' ' .. place

local skip
if (known == theirs or not mark) and first <= number + 1 then
  skip = number + 1 - first
elseif ARGV[9] == epoch .. ' ' .. standing then
  skip = 0 -- a jump, and nothing was appended since the events were read from the origin
end
if not skip or skip >= lines then return epoch .. ' ' .. before .. ' ' .. standing end

local now, offset, taken = now_ms(), before, {}
local by = origin .. ' ' .. theirs .. ' '
first, number = first + skip, first + skip - 1
for i = skip + 1, lines do
  local line = ARGV[9 + i]
  offset, number = offset + 1, number + 1
  taken[#taken + 1] = line
  if string.byte(line) == KEYED and relayed_has_room(state) then fold(state, line) end
  call('XADD', log, offset .. '-0', 'o', by .. number, 'l', line)
end

local present = {origin .. '-' .. theirs .. '-' .. number}
for other in string.gmatch(others, '[^~]+') do
  if other ~= mark then present[#present + 1] = other end
end
call('HSET', meta, 'offset', offset, 'others', table.concat(present, '~'), 'from:' .. origin, ARGV[8], 'at', now)
appended(video, epoch, before + 1, by .. first, taken, at, marks, now)
return epoch .. ' ' .. offset .. ' ' .. theirs .. ' ' .. number .. ' ' .. ARGV[8]
