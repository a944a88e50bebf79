-- Reads keys of hosts, whatever they hold, and no more than so many bytes of each.
-- KEYS: head, defaults, then keys. ARGV: the last byte that is read, then the host of each key.
-- Answers the newest revision, the prefix behind '=' if changes write such keys, and for each key its type, or its text behind
-- '=', and its default behind '='.
-- Takes nothing away, but is refused by a replica, which may hold what was so before.
redis.call('HDEL', KEYS[2], '')
local head = redis.call('HMGET', KEYS[1], 'number', 'host_keys')
local answer = {head[1] or '', head[2] and '=' .. head[2] or ''}
for at = 3, #KEYS do
  local found = redis.call('TYPE', KEYS[at]).ok
  if found == 'string' then found = '=' .. redis.call('GETRANGE', KEYS[at], 0, ARGV[1]) end
  local default = redis.call('HGET', KEYS[2], ARGV[at - 1])
  answer[#answer + 1] = found
  answer[#answer + 1] = default and '=' .. default or ''
end
return answer
