-- Notice a restart of Redis. It stands first in each transaction that appends, so that the scripts after
-- it can trust `ls:run`: which life of the server this is, and since when it is known (0: from the start).
--
-- KEYS  run

local run = string.match(call('INFO', 'server'), 'run_id:(%w+)')
local before = call('HGET', KEYS[1], 'id')
if before ~= run then
  call('HSET', KEYS[1], 'id', run, 'since', before and now_ms() or 0)
  -- In a cluster those who know more of a log need not have been connected to this very server.
  if CLUSTER == 1 and before then call('PUBLISH', 'ls:life', '') end
end
call('PEXPIRE', KEYS[1], IDLE + 2 * META_LIVES_ON)
return run
