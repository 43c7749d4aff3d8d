-- Remove members that have ended: those without a listener on `ls:member:PROCESS`.
--
-- KEYS  run members
-- ARGV  1 the calling process  2 `leave`: remove this process instead
--       then, in a cluster, the members that have ended: one server cannot see the listeners of the others

local run, members = KEYS[1], KEYS[2]
local id, verdict, view = unpack(call('HMGET', run, 'id', 'verdict', 'view'))
local gone = {}
if ARGV[2] == 'leave' then
  gone[1] = ARGV[1]
elseif CLUSTER == 1 then
  for i = 3, verdict and #ARGV or 0 do gone[#gone + 1] = ARGV[i] end
elseif verdict then
  for _, process in ipairs(call('HKEYS', members)) do
    if process ~= ARGV[1] and call('PUBSUB', 'NUMSUB', 'ls:member:' .. process)[2] == 0 then
      gone[#gone + 1] = process
    end
  end
end
local dropped = 0
for _, process in ipairs(gone) do dropped = dropped + call('HDEL', members, process) end
if dropped > 0 and id then
  local generation = tonumber(string.match(view or '0', '%d+')) + 1
  call('HSET', run, 'view', string.format('%d %s', generation, string.sub(id, 1, 12)))
end
return dropped
