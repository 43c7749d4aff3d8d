-- What the scripts share: opening a video's log. It stands before each of them, and before it stand
-- the settings, as ORIGIN (this datacenter), EVENTS, AGE, IDLE, IDS, TOKENS and SETTLE (times in ms).
--
-- Meta is a hash:
--   epoch, offset   of the last event
--   number          of the last one that originated here; such events' epoch is the log's own
--   others          the cursor's part of the other origins: origin-epoch-number, joined by ~
--   from:ORIGIN     where the last event taken from that origin stands in its own log, an offset
--   at              when the last append was (ms)
--   marks           for trimming by age, see append.lua
--   run             the life of the server in which the log was last found whole, see life.lua
--
-- A log begins anew, in the epoch offered, when its meta is gone, and also when it ends before what
-- the caller has already been told (`known`, an offset of the epoch `known_epoch`): then Redis came
-- back with less than it had, and to count on would give old numbers to new events.
--
-- Who was told most may not be the first to call. So after a restart a log is unsettled for a while:
-- nothing is appended, and all who listen come back and tell what they know. Only then it counts on.

local call = redis.call
local META_LIVES_ON = 120000 -- meta outlives the log, or what is left of it would be taken for all

local function now_ms()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Where the server's life is noted. In a cluster each video may be on another server, and has its own.
local function run_key(meta)
  return CLUSTER == 1 and string.sub(meta, 1, -5) .. 'run' or 'ls:run'
end

-- Whether this log may be appended to: it has been in this life of the server, or all who know more of
-- it have had the time to come back and say so.
local function has_settled(meta, run)
  local id, since = unpack(call('HMGET', run_key(meta), 'id', 'since'))
  if run == id then return true end
  if now_ms() - tonumber(since or 0) < SETTLE then return false end
  call('HSET', meta, 'run', id or '')
  return true
end

local function open_log(meta, log, offered, known_epoch, known)
  local found = call('HMGET', meta, 'epoch', 'offset', 'number', 'others', 'at', 'marks', 'run')
  local epoch, offset, number, others = found[1], tonumber(found[2] or 0), tonumber(found[3] or 0), found[4]
  if epoch and (epoch ~= known_epoch or offset >= tonumber(known)) then
    return epoch, offset, number, others or '', tonumber(found[5] or 0), found[6] or '', found[7]
  end
  -- The others' events are gone with the log: what their numbers were says nothing in a new epoch.
  local run = call('HGET', run_key(meta), 'id') or ''
  call('DEL', meta, log)
  call('HSET', meta, 'epoch', offered, 'offset', 0, 'number', 0, 'run', run)
  call('PEXPIRE', meta, IDLE + META_LIVES_ON)
  return offered, 0, 0, '', 0, '', run
end

-- The cursor at the log's end: origin-epoch-number of each origin, in ascending order.
local function cursor(epoch, number, others)
  local own = ORIGIN .. '-' .. epoch .. '-' .. number
  if others == '' then return own end
  local origins, marks = {ORIGIN}, {[ORIGIN] = own}
  for mark, origin in string.gmatch(others, '(([^-~]+)-[^~]+)') do
    origins[#origins + 1], marks[origin] = origin, mark
  end
  table.sort(origins)
  for i, origin in ipairs(origins) do origins[i] = marks[origin] end
  return table.concat(origins, '~')
end

