-- Record that these videos were appended to now, by Redis' clock, and remove those that have been quiet for
-- longer than their logs are kept.
--
-- KEYS  active
-- ARGV  the videos

local now = now_ms()
for start = 1, #ARGV, 500 do
  local scored = {}
  for i = start, math.min(start + 499, #ARGV) do
    scored[#scored + 1] = now
    scored[#scored + 1] = ARGV[i]
  end
  call('ZADD', KEYS[1], unpack(scored))
end
call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - IDLE)
call('PEXPIRE', KEYS[1], IDLE)
return now
