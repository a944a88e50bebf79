-- Makes a checkpoint count, if its revision is in the log and all its parts are there.
-- KEYS: head, log, checkpoints, the parts. ARGV: number, digest, parts, id, bytes, content.
local entry = redis.call('XRANGE', KEYS[2], ARGV[1] .. '-0', ARGV[1] .. '-0')[1]
local fields = {}
for at = 1, entry and #entry[2] or 0, 2 do fields[entry[2][at]] = entry[2][at + 1] end
if fields.digest ~= ARGV[2] then
  return {'diverged'}
end
if redis.call('LLEN', KEYS[4]) ~= tonumber(ARGV[3]) then
  return {'interrupted'}
end
local found = redis.call('HMGET', KEYS[1], 'checkpoint')[1]
local newest = found and tonumber(string.match(found, '^%d+')) or 0
redis.call('HSET', KEYS[3], ARGV[1], table.concat({ARGV[2], ARGV[4], ARGV[3], ARGV[5], fields.total, ARGV[6]}, ' '))
redis.call('PERSIST', KEYS[4])
if newest <= tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'checkpoint', table.concat({ARGV[1], ARGV[5], fields.total}, ' '))
end
return {'ok'}
