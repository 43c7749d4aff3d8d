-- What the scripts share: opening a video's log. It stands before each of them.
--
-- Meta is a hash: epoch; offset, the last one; at, the time of the last append in ms; marks, for
-- trimming by age; and for each origin e:ORIGIN, its epoch, and n:ORIGIN, its last number.
--
-- A log begins anew, in the epoch offered, when its meta is gone, and also when it ends before what
-- the caller has already been told (`known`, an offset of the epoch `known_epoch`): then Redis came
-- back with less than it had, and to count on would give old numbers to new events.

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function open_log(meta, log, origin, offered, known_epoch, known, idle_ms)
  local flat = redis.call('HGETALL', meta)
  local fields = {}
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  if not fields.epoch or (fields.epoch == known_epoch and tonumber(fields.offset) < tonumber(known)) then
    redis.call('HSET', meta, 'epoch', offered, 'offset', 0, 'e:' .. origin, offered, 'n:' .. origin, 0)
    redis.call('HDEL', meta, 'at', 'marks')
    redis.call('DEL', log)
    redis.call('PEXPIRE', meta, idle_ms + 60000)
    fields.epoch, fields.offset, fields.at, fields.marks = offered, 0, nil, nil
    fields['e:' .. origin], fields['n:' .. origin] = offered, 0
  end
  return fields
end

-- The cursor at the log's end: origin-epoch-number of each origin, in ascending order.
local function cursor(fields)
  local parts = {}
  for name, value in pairs(fields) do
    if string.sub(name, 1, 2) == 'n:' then
      local origin = string.sub(name, 3)
      parts[#parts + 1] = origin .. '-' .. fields['e:' .. origin] .. '-' .. value
    end
  end
  if #parts > 1 then table.sort(parts) end
  return table.concat(parts, '~')
end

