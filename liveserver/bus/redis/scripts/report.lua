-- Report a known head of one video's log: if the log ends before it, it begins a new epoch.
--
-- KEYS  log meta
-- ARGV  1 offered epoch  2 known epoch  3 known offset
--
-- Returns `epoch offset` of a settled log; empty for an unsettled or missing one.

if call('EXISTS', KEYS[2]) == 0 then return '' end
local epoch, offset, _, _, _, _, settled = open_log(KEYS[2], KEYS[1], ARGV[1], ARGV[2], ARGV[3])
if epoch == '-' then return redis.error_reply(UNSETTLED) end -- of another incarnation: nothing was compared
if epoch == '-' then return redis.error_reply(UNSETTLED) end -- to another incarnation: it was not taken in
return settled and epoch .. ' ' .. offset or ''
