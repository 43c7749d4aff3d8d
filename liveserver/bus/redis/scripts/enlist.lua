-- Put a node among those who share a work, for as long as its lease lives, and say who they all are.
--
-- KEYS  the group
-- ARGV  1 node  2 lease (ms)

local now, lease = now_ms(), tonumber(ARGV[2])
call('ZADD', KEYS[1], now + lease, ARGV[1])
call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if call('PTTL', KEYS[1]) < lease then call('PEXPIRE', KEYS[1], lease) end
return call('ZRANGE', KEYS[1], 0, -1)
