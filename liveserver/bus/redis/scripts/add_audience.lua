-- Add users to those who have watched a video, and raise its peak of viewers.
--
-- KEYS  unique peak
-- ARGV  1 how long to keep both (ms)  2 viewers at once  then the users

local unique, peak = unpack(KEYS)
if #ARGV > 2 then call('PFADD', unique, unpack(ARGV, 3)) end
if tonumber(ARGV[2]) > tonumber(call('GET', peak) or 0) then call('SET', peak, ARGV[2], 'PX', ARGV[1]) end
for _, key in ipairs(KEYS) do
  if call('PTTL', key) < tonumber(ARGV[1]) then call('PEXPIRE', key, ARGV[1]) end
end
return 1
