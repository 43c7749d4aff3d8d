-- Put a node's row into one video's subscription table, or renew it; say where the log ends and who watches.
--
-- KEYS  log meta nodes viewers tally state
-- ARGV  1 offered epoch  2 known epoch  3 known offset  4 node  5 how many viewers  6 lease (ms)  7 video
--
-- Returns `epoch offset cursor`, as of after the row was there, and `origin datacenter total announced`.

local log, meta, nodes, viewers, tally = unpack(KEYS)
local lease = tonumber(ARGV[6])
local epoch, offset, number, others, _, _, settled = open_log(meta, log, ARGV[1], ARGV[2], ARGV[3])
if not settled then return redis.error_reply(UNSETTLED) end
-- A log without events lasts as long as a lease, and a little: it costs nothing when nobody comes again.
local lasts = offset > 0 and math.max(IDLE, lease) + META_LIVES_ON or lease + EMPTY
if call('PTTL', meta) < lasts then call('PEXPIRE', meta, lasts) end
call('PEXPIRE', KEYS[6], math.max(IDLE, lease) + META_LIVES_ON) -- the state, if there is one

call('ZADD', nodes, now_ms() + lease, ARGV[4])
call('HSET', viewers, ARGV[4], ARGV[5])
-- Gone some time after the last lease: rows end by now_ms, which steps of the clock do not move; keys would.
for _, key in ipairs({nodes, viewers}) do
  if call('PTTL', key) < lease + SLACK then call('PEXPIRE', key, lease + SLACK) end
end
local counted = announce(ARGV[7], nodes, viewers, tally, lease)
return epoch .. ' ' .. offset .. ' ' .. cursor(epoch, number, others) .. ' ' .. counted
