-- Return where one video's log ends.
--
-- KEYS  log meta
-- ARGV  1 offered epoch  2 known epoch  3 known offset
--
-- Returns `epoch offset cursor`.

local epoch, offset, number, others, _, _, settled = open_log(KEYS[2], KEYS[1], ARGV[1], ARGV[2], ARGV[3])
if not settled then return redis.error_reply(UNSETTLED) end
return epoch .. ' ' .. offset .. ' ' .. cursor(epoch, number, others)
