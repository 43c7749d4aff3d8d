-- Add a node's row to one video's subscription table, or renew it; return the log's head and the viewer count.
--
-- KEYS  log meta nodes viewers tally state
-- ARGV  1 offered epoch  2 known epoch  3 known offset  4 node  5 viewer count  6 lease (ms)  7 video
--
-- Returns `epoch offset cursor kept`, read after the row was added, and `origin datacenter total announced`.

local log, meta, nodes, viewers, tally = unpack(KEYS)
local lease = tonumber(ARGV[6])
local epoch, offset, number, others, _, _, settled, kept, kept_others = open_log(meta, log, ARGV[1], ARGV[2], ARGV[3])
if not settled then return redis.error_reply(UNSETTLED) end
-- A log without events is kept little longer than the lease: abandoned ones cost nothing.
local lasts = offset > 0 and math.max(IDLE, lease) + META_LIVES_ON or lease + EMPTY
if call('PTTL', meta) < lasts then call('PEXPIRE', meta, lasts) end
call('PEXPIRE', KEYS[6], math.max(IDLE, lease) + META_LIVES_ON) -- the state, if there is one

call('ZADD', nodes, now_ms() + lease, ARGV[4])
call('HSET', viewers, ARGV[4], ARGV[5])
-- Removed some time after the last lease: rows expire by now_ms, unaffected by steps of the clock; keys are not.
for _, key in ipairs({nodes, viewers}) do
  if call('PTTL', key) < lease + SLACK then call('PEXPIRE', key, lease + SLACK) end
end
local counted = announce(ARGV[7], nodes, viewers, tally, lease)
return epoch .. ' ' .. offset .. ' ' .. cursor(epoch, number, others) .. ' ' .. cursor(epoch, kept, kept_others)
  .. ' ' .. counted
