-- Say where one video's log ends.
--
-- KEYS  log meta
-- ARGV  1 origin  2 offered epoch  3 known epoch  4 known offset  5 log.idle (ms)
--
-- Returns `epoch offset cursor`.

local fields = open_log(KEYS[2], KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]))
return fields.epoch .. ' ' .. fields.offset .. ' ' .. cursor(fields)
