-- A video's viewer count. `ls:{V}:tally` is a hash:
--   datacenter, total, at   the count that was announced last, and when (ms)
--   fed                     when it was last published to the feed (ms)
--   in:DATACENTER           another datacenter's viewers, and until when that is valid: `count ms`

-- Return the viewers at nodes with a valid lease, these with the other datacenters', and the nodes.
local function count_viewers(nodes, viewers, tally, now)
  local rows, datacenter = call('ZRANGEBYSCORE', nodes, '(' .. now, '+inf'), 0
  for start = 1, #rows, 500 do
    local counts = call('HMGET', viewers, unpack(rows, start, math.min(start + 499, #rows)))
    for _, count in ipairs(counts) do datacenter = datacenter + tonumber(count or 0) end
  end
  local total, fields = datacenter, call('HGETALL', tally)
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 3) == 'in:' then
      local count, ends = string.match(fields[i + 1], '(%d+) (%d+)')
      if tonumber(ends) > now then total = total + tonumber(count) else call('HDEL', tally, fields[i]) end
    end
  end
  return datacenter, total, rows
end

-- Announce the count to the nodes and the feed if it has changed; to the feed also before its `hold` (ms) is
-- over. Returns `origin datacenter total announced`, the last 0 if it is too early for an announcement.
local function announce(video, nodes, viewers, tally, hold)
  local now = now_ms()
  local said = call('HMGET', tally, 'datacenter', 'total', 'at', 'fed')
  for i = 1, 4 do said[i] = tonumber(said[i] or 0) end
  local before, total_before, at, fed = unpack(said)
  if at <= now and now - at < ANNOUNCE then return string.format('%s %d %d 0', ORIGIN, before, total_before) end

  local datacenter, total, rows = count_viewers(nodes, viewers, tally, now)
  local message = string.format('#%s %s %d %d %d', video, ORIGIN, datacenter, total, hold)
  if datacenter ~= before or total ~= total_before then
    call('HSET', tally, 'datacenter', datacenter, 'total', total, 'at', now)
    for _, node in ipairs(rows) do publish_to_node(node, message) end
  end
  if datacenter ~= before or (datacenter > 0 and now - fed >= hold / 4) then
    call('HSET', tally, 'fed', now)
    publish_to_feed(message)
  end
  if call('PTTL', tally) < hold then call('PEXPIRE', tally, hold) end
  return string.format('%s %d %d 1', ORIGIN, datacenter, total)
end

