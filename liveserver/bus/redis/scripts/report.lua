-- Report how far one video's log had come: if it ends before that, it begins a new epoch.
--
-- KEYS  log meta
-- ARGV  1 offered epoch  2 known epoch  3 known offset
--
-- Returns `epoch offset` of a settled log, empty for one that is not, or is not there.

if call('EXISTS', KEYS[2]) == 0 then return '' end
local epoch, offset, _, _, _, _, settled = open_log(KEYS[2], KEYS[1], ARGV[1], ARGV[2], ARGV[3])
return settled and epoch .. ' ' .. offset or ''
