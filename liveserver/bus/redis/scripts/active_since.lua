-- List videos by the time of the last append of events that originate here, least recent first.
--
-- KEYS  active
-- ARGV  1 since (ms)  2 limit; all videos with the same time as the last one are included beyond it
--
-- Returns now, the time of the last one (or `since`), and the videos.

local found = call('ZRANGEBYSCORE', KEYS[1], ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local upto, videos = found[#found] or ARGV[1], {}
local is_page = #found == 2 * tonumber(ARGV[2])
for i = 1, #found, 2 do
  if not is_page or found[i + 1] ~= upto then videos[#videos + 1] = found[i] end
end
if is_page then
  for _, video in ipairs(call('ZRANGEBYSCORE', KEYS[1], upto, upto)) do videos[#videos + 1] = video end
end
return {string.format('%d', now_ms()), upto, videos}
