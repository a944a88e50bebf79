-- Throws the log away and begins anew with one revision and its state.
-- KEYS: head, log, checkpoints, past, the new parts, the defaults of hosts, the old parts. ARGV: fleet, number, time, digest, parent, body, id, parts, bytes, content.
if redis.call('LLEN', KEYS[5]) ~= tonumber(ARGV[8]) then
  return {'interrupted'}
end
local fleet = redis.pcall('HGET', KEYS[1], 'fleet')
if type(fleet) == 'string' and fleet ~= ARGV[1] then
  return {'foreign', fleet}
end
-- Somebody else's force came first.
local forced = redis.pcall('HGET', KEYS[1], 'forced')
if type(forced) == 'string' and tonumber(forced) and tonumber(forced) >= tonumber(ARGV[2]) then
  return {'conflict'}
end
-- Or a change, after the number was chosen.
local newest = redis.pcall('HGET', KEYS[1], 'number')
if type(newest) == 'string' and #newest < 16 and string.match(newest, '^%d+$') and tonumber(newest) >= tonumber(ARGV[2]) then
  return {'conflict'}
end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
for at = 6, #KEYS do redis.call('DEL', KEYS[at]) end
redis.call('PERSIST', KEYS[5])
redis.call('XADD', KEYS[2], ARGV[2] .. '-0', 'time', ARGV[3], 'digest', ARGV[4], 'parent', ARGV[5],
  'total', '0', 'body', ARGV[6])
redis.call('XADD', KEYS[4], ARGV[2] .. '-0', 'digest', ARGV[4])
redis.call('HSET', KEYS[3], ARGV[2], table.concat({ARGV[4], ARGV[7], ARGV[8], ARGV[9], '0', ARGV[10]}, ' '))
redis.call('HSET', KEYS[1], 'fleet', ARGV[1], 'number', ARGV[2], 'digest', ARGV[4], 'total', '0',
  'forced', ARGV[2], 'checkpoint', ARGV[2] .. ' ' .. ARGV[9] .. ' 0')
return {'ok'}
