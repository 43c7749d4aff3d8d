-- Note that these videos were appended to just now, by Redis' clock, and forget those that have
-- been quiet for longer than their logs live.
--
-- KEYS  active
-- ARGV  1 log.idle (ms), then the videos

local now = now_ms()
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], now, ARGV[i]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[1]))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return now
