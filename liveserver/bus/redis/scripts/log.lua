-- Shared by all scripts: opening a video's log. The settings precede it: ORIGIN (this datacenter),
-- FORM, EVENTS, EPHEMERAL_EVENTS, AGE, IDLE, IDS, TOKENS, EMPTY (times in ms), CLUSTER (1 in a Redis Cluster), EPHEMERAL
-- (types, a space before and behind each).
--
-- The log is two streams: `log`, and `ephemeral` for the events of ephemeral types, of which fewer are kept. An entry's
-- id is its offset; `l` is the line, `o` its origin, epoch and number there, and `since`, where it is not the number
-- before: between the two are only ephemeral events, so that nothing else is lost if they are gone.
--
-- Meta is a hash:
--   epoch, offset   of the last event
--   number          of the last one that originated here; such events' epoch is the log's own
--   others          the cursor's part of the other origins: origin-epoch-number, joined by ~
--   from:ORIGIN     the offset, in that origin's own log, of the last event replicated from it
--   at              when the last append was (ms)
--   marks           for trimming by age, see appended.lua
--   kept            the number after which all that originated here so far is ephemeral; kept_others: the others'
--   lost            the last offset that is gone from the stream `log`; last: the newest that was put into it
--   form            the form of these keys (1: or absent). A log of a form above FORM is a newer program's: it is
--                   neither appended to nor read, and stays as it is
--   run             the incarnation of Redis in which the log was made or found whole, see incarnation.lua
--
-- An epoch's name is its generation, six digits in base 36, and four random characters. A caller offers a name
-- with the time as generation; here it is raised above the known generations. So no name is used twice, and
-- of two epochs of one log the later one has the higher generation, whatever the clocks say.
--
-- A log begins a new epoch when its meta is gone; when it ends before the offset that the caller knows (`known`,
-- of `known_epoch`); and when Redis may have lost events that were read from it (incarnation.lua). Until that is
-- decided the log is unsettled: it is neither appended to nor read; known heads may be reported.

local call = redis.call
local META_LIVES_ON = 120000 -- meta outlives the log, or the remaining events would be taken for all
local UNSETTLED = 'RESTARTED Redis has restarted; waiting until every process has reported what it knows'

-- How to publish, see publish.lua; open_log sets it.
local route = '-'

-- Redis' clock without its steps (incarnation.lua keeps `skew`), in milliseconds.
local skew = CLUSTER == 1 and 0 or nil
local function now_ms()
  local time = call('TIME')
  if not skew then skew = tonumber(call('HGET', 'ls:run', 'skew') or 0) end
  return time[1] * 1000 + math.floor(time[2] / 1000) - skew
end

local function generation(epoch)
  return #epoch == 10 and tonumber(string.sub(epoch, 1, 6), 36) or 0
end

-- The offered name, with this generation at least.
local function epoch_name(offered, least)
  if generation(offered) >= least then return offered end
  local digits, name = '0123456789abcdefghijklmnopqrstuvwxyz', string.sub(offered, -4)
  for _ = 1, 6 do
    local digit = least % 36
    name, least = string.sub(digits, digit + 1, digit + 1) .. name, math.floor(least / 36)
  end
  return name
end

-- The key of the stream with the ephemeral events.
local function ephemeral_key(log)
  return string.sub(log, 1, -4) .. 'ephemeral'
end

local function is_ephemeral(line)
  return string.find(EPHEMERAL, ' ' .. string.match(line, '^;?([^ ;]*)') .. ' ', 1, true) ~= nil
end

-- Put an event into the stream of its kind; returns the number after which all is ephemeral then.
local function add_entry(log, offset, by, number, kept, line)
  local from = kept < number - 1 and by .. number .. ' ' .. kept or by .. number
  if is_ephemeral(line) then
    call('XADD', ephemeral_key(log), offset .. '-0', 'o', from, 'l', line)
    return kept
  end
  call('XADD', log, offset .. '-0', 'o', from, 'l', line)
  return number
end

-- Returns epoch, offset, number, others, at, marks, whether the log is settled, kept, and the others' kept.
local function open_log(meta, log, offered, known_epoch, known)
  local found = call('HMGET', meta, 'epoch', 'offset', 'number', 'others', 'at', 'marks', 'run', 'kept',
    'kept_others', 'form')
  if found[10] and tonumber(found[10]) > FORM then
    error('NEWER form ' .. found[10] .. ' of a log; known is ' .. FORM)
  end
  local epoch, id, verdict = found[1]
  if CLUSTER == 0 then
    local state = call('HMGET', 'ls:run', 'id', 'verdict', 'skew')
    id, verdict = state[1] or '', state[2]
    skew = tonumber(state[3] or 0)
  else
    -- `epoch incarnation verdict route`: this server's incarnation is stored in another slot, and its verdict never
    -- changes. The caller passes what it knows; the incarnation is compared here.
    offered, id, verdict, route = string.match(offered, '^(%w+) (%w+) (%w*) (%S+)$')
    if not id or not string.find(call('INFO', 'replication'), 'master_replid:' .. id, 1, true) then id = '' end
  end
  if id == '' then return '-', 0, 0, '', 0, '', false, 0, '' end
  if epoch then
    local offset = tonumber(found[2])
    local settled = found[7] == id
    local is_ahead
    if known_epoch == epoch then
      is_ahead = offset < tonumber(known)
    elseif known_epoch ~= '-' then
      local theirs, ours = generation(known_epoch), generation(epoch)
      is_ahead = theirs > ours or theirs == ours and not settled
    end
    if not settled and not is_ahead then
      if verdict == 'complete' then
        call('HSET', meta, 'run', id)
        settled = true
      elseif verdict == 'partial' then
        is_ahead = true
      end
    end
    if not is_ahead then
      return epoch, offset, tonumber(found[3]), found[4] or '', tonumber(found[5] or 0), found[6] or '', settled,
        tonumber(found[8] or found[3]), found[9] or found[4] or ''
    end
  end
  -- The other origins' events are gone with the log: their numbers mean nothing in a new epoch.
  local before = math.max(generation(known_epoch), epoch and generation(epoch) or 0)
  epoch = epoch_name(offered, before + 1)
  call('DEL', meta, log, ephemeral_key(log))
  call('HSET', meta, 'epoch', epoch, 'offset', 0, 'number', 0, 'run', id, 'form', FORM)
  call('PEXPIRE', meta, EMPTY)
  return epoch, 0, 0, '', 0, '', true, 0, ''
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

