-- Forgets what is below a revision.
-- KEYS: log, checkpoints, the parts of each checkpoint that goes. ARGV: the revision, each checkpoint that goes.
for at = 2, #ARGV do redis.call('HDEL', KEYS[2], ARGV[at]) end
for at = 3, #KEYS do redis.call('DEL', KEYS[at]) end
redis.call('XTRIM', KEYS[1], 'MINID', ARGV[1] .. '-0')
return {'ok'}
