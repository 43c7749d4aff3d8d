-- Lead the hooks for a time, unless another node does; prolong what is kept for the leader.
--
-- KEYS  leader occupied disabled
-- ARGV  1 node  2 lease (ms)  3 how long the rest is kept (ms)
--
-- Returns 1 if the node leads.

local leader = call('GET', KEYS[1])
if leader and leader ~= ARGV[1] then return 0 end
call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
call('PEXPIRE', KEYS[2], ARGV[3])
call('PEXPIRE', KEYS[3], ARGV[3])
return 1
