-- From now on changes write the keys of hosts under this prefix. Keys that are missing are written; the first time after an
-- operator's force all are, since what is there may be older.
-- KEYS: head, defaults. ARGV: the revision that the hosts are of, the prefix, then of each: host, value.
local head = redis.call('HMGET', KEYS[1], 'number', 'host_keys', 'forced')
if head[1] ~= ARGV[1] then return {'outdated'} end
if head[2] == ARGV[2] then return {'ok'} end
redis.call('HLEN', KEYS[2])
local is_forced = not head[2] and tonumber(head[3] or '0') > 0
for at = 3, #ARGV, 2 do
  local key = ARGV[2] .. ARGV[at]
  local kind = redis.call('TYPE', key).ok
  if kind == 'none' or (kind == 'string' and is_forced) then
    redis.call('SET', key, ARGV[at + 1])
  end
end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[1], 'host_keys', ARGV[2])
return {'ok'}
