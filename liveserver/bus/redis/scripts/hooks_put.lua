-- Queue messages for endpoints, and move the positions in the logs, if the node leads.
--
-- A queue `ls:{+hooks}:queue:ENDPOINT:VIDEO` is a sorted set of entries, `time id body`, by their sequence numbers; an
-- entry without a body, `time gap… `, stands for messages that are gone. `ls:{+hooks}:due:ENDPOINT` has the videos with
-- entries, by the time (ms) from which they are due. The hash `length` has each endpoint's entries, and in `+` the last
-- sequence number.
--
-- KEYS  leader occupied length
-- ARGV  1 node  2 ttl of queues (ms)  3 ttl of positions and occupied (ms)  4 limit of an endpoint
--       5-8 how many messages, positions, occupied, vacated follow
--       messages: endpoint video id body;  positions: video position;  occupied: videos;  vacated: videos
--
-- Returns how many messages did not fit, or -1.

if call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
local queue_ttl, place_ttl, limit = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local now, at, dropped = now_ms(), 9, 0
local prefix = string.sub(KEYS[1], 1, -7) -- without `leader`
local sequence = math.max(tonumber(call('HGET', KEYS[3], '+') or 0), now * 1000)

local counted = {}
-- Without `due`, which outlives each queue, all of the endpoint's queues have expired, and their counted length with them.
local function count_of(endpoint)
  if not counted[endpoint] then
    counted[endpoint] = true
    if call('EXISTS', prefix .. 'due:' .. endpoint) == 0 then call('HDEL', KEYS[3], endpoint) end
  end
  return tonumber(call('HGET', KEYS[3], endpoint) or 0)
end

for _ = 1, tonumber(ARGV[5]) do
  local endpoint, video, id, body = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  at = at + 4
  local queue, due = prefix .. 'queue:' .. endpoint .. ':' .. video, prefix .. 'due:' .. endpoint
  local entry = now .. ' ' .. id .. ' ' .. body
  if count_of(endpoint) >= limit then
    dropped = dropped + 1
    local last = call('ZRANGE', queue, -1, -1)[1]
    entry = not (last and string.find(last, '^%d+ gap')) and string.format('%d gap%.0f ', now, sequence + 1)
  end
  if entry then
    sequence = sequence + 1
    call('ZADD', queue, sequence, entry)
    call('HINCRBY', KEYS[3], endpoint, 1)
    call('ZADD', due, 'NX', now, video)
    call('PEXPIRE', queue, queue_ttl)
    call('PEXPIRE', due, queue_ttl)
  end
end
for _ = 1, tonumber(ARGV[6]) do
  call('SET', prefix .. 'place:' .. ARGV[at], ARGV[at + 1], 'PX', place_ttl)
  at = at + 2
end
for _ = 1, tonumber(ARGV[7]) do
  call('HSET', KEYS[2], ARGV[at], now)
  at = at + 1
end
for _ = 1, tonumber(ARGV[8]) do
  call('HDEL', KEYS[2], ARGV[at])
  at = at + 1
end
call('PEXPIRE', KEYS[2], place_ttl)
call('HSET', KEYS[3], '+', string.format('%.0f', sequence))
call('PEXPIRE', KEYS[3], queue_ttl)
return dropped
