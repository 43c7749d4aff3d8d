-- Include the viewers of another datacenter in the count.
--
-- KEYS  nodes viewers tally
-- ARGV  1 video  2 the other datacenter  3 its viewers  4 how long that is valid (ms)  5 how to publish (publish.lua)
--
-- Returns `origin datacenter total announced`.

local nodes, viewers, tally = unpack(KEYS)
local hold = tonumber(ARGV[4])
route = ARGV[5]
call('HSET', tally, 'in:' .. ARGV[2], ARGV[3] .. ' ' .. (now_ms() + hold))
if call('PTTL', tally) < hold then call('PEXPIRE', tally, hold) end
return announce(ARGV[1], nodes, viewers, tally, hold)
