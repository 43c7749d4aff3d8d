-- What follows each append, of our own and of other datacenters' events: trim the log, and forward the batch
-- to the watching nodes. Included after log.lua in the scripts that append; `log`, `meta`, `nodes`, `viewers`
-- and `state` are the video's keys.
--
-- `first` is the offset of the first of `lines`, `origin` is `origin epoch number` of the first line;
-- `at` and `marks` are as open_log returned them. Returns the batch that was forwarded, and to how many nodes.

local log, meta, nodes, viewers, state = unpack(KEYS)

local function appended(video, epoch, first, origin, lines, at, marks, now)
  local before = first - 1
  local offset = before + #lines
  local ephemeral = ephemeral_key(log)
  call('PEXPIRE', log, IDLE)
  call('PEXPIRE', ephemeral, IDLE)
  -- For meta once in half a minute is enough, as it outlives the log by more than that.
  if math.floor(now / 30000) ~= math.floor(at / 30000) then
    call('PEXPIRE', meta, IDLE + META_LIVES_ON)
    call('PEXPIRE', state, IDLE + META_LIVES_ON)
  end

  -- By length: whole nodes of a stream only, which leaves up to a hundred events more.
  if offset > EVENTS and call('XTRIM', log, 'MAXLEN', '~', EVENTS) > 0 then
    local oldest = call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
    call('HSET', meta, 'lost', tonumber(string.match(oldest[1], '%d+')) - 1)
  end
  if offset > EPHEMERAL_EVENTS then call('XTRIM', ephemeral, 'MAXLEN', '~', EPHEMERAL_EVENTS) end

  -- By age: an entry's id is its offset, not its time, so eight times within the maximum age a mark `time
  -- offset` is stored: everything up to that offset is at least that old. The events covered by the newest
  -- mark beyond the maximum age are removed.
  if at > 0 then
    local newest, gone, kept = 0, 0, {}
    for time, upto in string.gmatch(marks, '(%d+) (%d+)') do
      newest = tonumber(time)
      if newest <= now - AGE then gone = upto else kept[#kept + 1] = time .. ' ' .. upto end
    end
    if at <= now - AGE then
      gone, kept = before, {}
    elseif at - newest >= AGE / 8 then
      kept[#kept + 1] = string.format('%d %d', at, before)
    end
    kept = table.concat(kept, ',')
    if kept ~= marks then call('HSET', meta, 'marks', kept) end
    if gone ~= 0 then
      local from = (gone + 1) .. '-0'
      if call('XTRIM', log, 'MINID', from) > 0 then call('HSET', meta, 'lost', gone) end
      call('XTRIM', ephemeral, 'MINID', from)
    end
  end

  -- To each node with a valid lease. A row is removed when its lease has ended, or when its inbox had no
  -- listener: that node is dead, or will renew its row once it listens again.
  local batch = video .. ' ' .. epoch .. ' ' .. first .. ' ' .. origin .. '\n' .. table.concat(lines, '\n')
  local rows, sent = call('ZRANGE', nodes, 0, -1, 'WITHSCORES'), 0
  for i = 1, #rows, 2 do
    local node = rows[i]
    if tonumber(rows[i + 1]) <= now or publish_to_node(node, batch) == 0 then
      call('ZREM', nodes, node)
      call('HDEL', viewers, node)
    else
      sent = sent + 1
    end
  end
  return batch, sent
end

