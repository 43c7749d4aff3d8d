-- Add a node to a group for the duration of its lease, and return the group's members.
--
-- KEYS  the group
-- ARGV  1 node  2 lease (ms)

local now, lease = now_ms(), tonumber(ARGV[2])
call('ZADD', KEYS[1], now + lease, ARGV[1])
call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if call('PTTL', KEYS[1]) < lease then call('PEXPIRE', KEYS[1], lease) end
return call('ZRANGE', KEYS[1], 0, -1)
