-- Return where one video's log ends.
--
-- KEYS  log meta
-- ARGV  1 offered epoch  2 known epoch  3 known offset
--
-- Returns `epoch offset cursor kept oldest`: from the offset `oldest` on everything is there but ephemeral events.

local epoch, offset, number, others, _, _, settled, kept, kept_others = open_log(KEYS[2], KEYS[1], ARGV[1], ARGV[2], ARGV[3])
if not settled then return redis.error_reply(UNSETTLED) end
local ends = call('HMGET', KEYS[2], 'lost', 'last')
local lost = ends[1] or 0
if call('EXISTS', KEYS[1]) == 0 then
  lost = ends[2] or lost
elseif not ends[2] then -- of a version that had one stream
  local oldest = call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
  lost = oldest and string.match(oldest[1], '%d+') - 1 or offset
end
return string.format('%s %d %s %s %d', epoch, offset, cursor(epoch, number, others),
  cursor(epoch, kept, kept_others), lost + 1)
