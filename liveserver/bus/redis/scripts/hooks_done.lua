-- Remove the first entries of a queue, as far as they are these; leave a gap in their place if one is given. A video
-- whose queue has expired is due no more.
--
-- KEYS  queue due length
-- ARGV  1 endpoint  2 video  3 the id of a gap, or empty  4 ttl (ms), and the entries

local score
for i = 5, #ARGV do
  local first = call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  if first[1] ~= ARGV[i] then break end
  call('ZREM', KEYS[1], ARGV[i])
  call('HINCRBY', KEYS[3], ARGV[1], -1)
  score = first[2]
end
if not score then
  if call('EXISTS', KEYS[1]) == 0 then call('ZREM', KEYS[2], ARGV[2]) end
  return 0
end
local now = now_ms()
local following = call('ZRANGE', KEYS[1], 0, 0)[1]
if ARGV[3] ~= '' and not (following and string.find(following, '^%d+ gap')) then
  following = now .. ' ' .. ARGV[3] .. ' '
  call('ZADD', KEYS[1], score, following)
  call('HINCRBY', KEYS[3], ARGV[1], 1)
  call('PEXPIRE', KEYS[1], ARGV[4])
end
if following then call('ZADD', KEYS[2], now, ARGV[2]) else call('ZREM', KEYS[2], ARGV[2]) end
if following then call('PEXPIRE', KEYS[2], ARGV[4]) end
return 1
