-- Say where one video's log ends.
--
-- KEYS  log meta
-- ARGV  1 offered epoch  2 known epoch  3 known offset
--
-- Returns `epoch offset cursor`.

local epoch, offset, number, others = open_log(KEYS[2], KEYS[1], ARGV[1], ARGV[2], ARGV[3])
return epoch .. ' ' .. offset .. ' ' .. cursor(epoch, number, others)
