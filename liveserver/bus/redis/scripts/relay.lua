-- Append another datacenter's events to one video's log, each once and in their origin's order, and
-- forward them to our nodes; not to the feed, from which the other datacenters would get them twice.
--
-- KEYS  log meta nodes viewers state
-- ARGV  1 video  2 offered epoch  3 known epoch  4 known offset
--       5 origin  6 its epoch  7 its number of the first line  8 the last line's offset in its log
--       9 this log's position when these were read from the origin's log; empty: received from its feed
--       10 a number: between it and the first line's are only ephemeral events
--       then the lines
--
-- Returns `epoch offset position`: the log's end, and its resulting position in this origin, as
-- `epoch number offset` of the last event replicated, or `- 0 0`.

local video, origin, theirs = ARGV[1], ARGV[5], ARGV[6]
local first, since, lines = tonumber(ARGV[7]), tonumber(ARGV[10]), #ARGV - 10
local epoch, before, _, others, at, marks, settled, _, kept_others = open_log(meta, log, ARGV[2], ARGV[3], ARGV[4])
if not settled then return redis.error_reply(UNSETTLED) end

local mark = string.match('~' .. others .. '~', '~(' .. origin .. '%-[^~]+)~')
local known, number, place = '-', 0, 0
if mark then
  known, number = string.match(mark, '%-(%w+)%-(%d+)')
  number, place = tonumber(number), tonumber(call('HGET', meta, 'from:' .. origin) or 0)
end
local standing = known .. ' ' .. number .. ' ' .. place

local skip
local is_next = (known == theirs or not mark) and since <= number
if is_next then
  skip = math.max(0, number + 1 - first)
elseif ARGV[9] == epoch .. ' ' .. standing then
  skip = 0 -- a jump, and nothing was appended since the events were read from the origin
end
if not skip or skip >= lines then return epoch .. ' ' .. before .. ' ' .. standing end

local now, offset, taken, last = now_ms(), before, {}, 0
local kept_mark = string.match('~' .. kept_others .. '~', '~(' .. origin .. '%-[^~]+)~')
local kept = is_next and tonumber(kept_mark and string.match(kept_mark, '(%d+)$') or 0) or since
local by = origin .. ' ' .. theirs .. ' '
first, number = first + skip, first + skip - 1
for i = skip + 1, lines do
  local line = ARGV[10 + i]
  offset, number = offset + 1, number + 1
  taken[#taken + 1] = line
  if string.byte(line) == KEYED and relayed_has_room(state) then fold(state, line) end
  kept = add_entry(log, offset, by, number, kept, line)
  if kept == number then last = offset end
end

local present = {origin .. '-' .. theirs .. '-' .. number}
for other in string.gmatch(others, '[^~]+') do
  if other ~= mark then present[#present + 1] = other end
end
local present_kept = {origin .. '-' .. theirs .. '-' .. kept}
for other in string.gmatch(kept_others, '[^~]+') do
  if other ~= kept_mark then present_kept[#present_kept + 1] = other end
end
call('HSET', meta, 'offset', offset, 'others', table.concat(present, '~'), 'from:' .. origin, ARGV[8], 'at', now,
  'kept_others', table.concat(present_kept, '~'))
if last > 0 then call('HSET', meta, 'last', last) end
appended(video, epoch, before + 1, by .. first, taken, at, marks, now)
return epoch .. ' ' .. offset .. ' ' .. theirs .. ' ' .. number .. ' ' .. ARGV[8]
