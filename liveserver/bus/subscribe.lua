-- Put a node's row into one video's subscription table, or renew it, and say where the log ends.
--
-- KEYS  log meta nodes viewers
-- ARGV  1 origin  2 offered epoch  3 known epoch  4 known offset  5 log.idle (ms)
--       6 node  7 how many viewers  8 lease (ms)
--
-- Returns `epoch offset cursor`, as of after the row was there.

local log, meta, nodes, viewers = unpack(KEYS)
local idle, lease = tonumber(ARGV[5]), tonumber(ARGV[8])
local fields = open_log(meta, log, ARGV[1], ARGV[2], ARGV[3], ARGV[4], idle)
redis.call('PEXPIRE', meta, math.max(idle, lease) + 60000)

redis.call('ZADD', nodes, now_ms() + lease, ARGV[6])
redis.call('HSET', viewers, ARGV[6], ARGV[7])
-- Gone with the last lease: a shorter one does not cut a longer one off.
for _, key in ipairs({nodes, viewers}) do
  if redis.call('PTTL', key) < lease then redis.call('PEXPIRE', key, lease) end
end
return fields.epoch .. ' ' .. fields.offset .. ' ' .. cursor(fields)
