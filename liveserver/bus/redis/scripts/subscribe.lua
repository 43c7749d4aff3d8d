-- Put a node's row into one video's subscription table, or renew it; say where the log ends and who watches.
--
-- KEYS  log meta nodes viewers tally state
-- ARGV  1 offered epoch  2 known epoch  3 known offset  4 node  5 how many viewers  6 lease (ms)  7 video
--
-- Returns `epoch offset cursor`, as of after the row was there, and `origin datacenter total announced`.

local log, meta, nodes, viewers, tally = unpack(KEYS)
local lease = tonumber(ARGV[6])
local epoch, offset, number, others = open_log(meta, log, ARGV[1], ARGV[2], ARGV[3])
call('PEXPIRE', meta, math.max(IDLE, lease) + META_LIVES_ON)
call('PEXPIRE', KEYS[6], math.max(IDLE, lease) + META_LIVES_ON)

call('ZADD', nodes, now_ms() + lease, ARGV[4])
call('HSET', viewers, ARGV[4], ARGV[5])
-- Gone with the last lease: a shorter one does not cut a longer one off.
for _, key in ipairs({nodes, viewers}) do
  if call('PTTL', key) < lease then call('PEXPIRE', key, lease) end
end
local counted = announce(ARGV[7], nodes, viewers, tally, lease)
return epoch .. ' ' .. offset .. ' ' .. cursor(epoch, number, others) .. ' ' .. counted
