-- Heap: CONFIRM (ON CONFLICT), DELETE of a speculative tuple that lost the race (several sessions, shared keys).
DROP TABLE IF EXISTS speculative;
CREATE TABLE speculative (k integer PRIMARY KEY, n integer DEFAULT 0, v text);
INSERT INTO speculative SELECT i, 0, md5(i::text) FROM generate_series(1, 150) i ON CONFLICT DO NOTHING;
INSERT INTO speculative SELECT i, 0, md5(i::text) FROM generate_series(100, 300) i
  ON CONFLICT (k) DO UPDATE SET n = speculative.n + 1, v = excluded.v;
INSERT INTO speculative SELECT i, 0, repeat('t', 5000) || i FROM generate_series(290, 310) i
  ON CONFLICT (k) DO UPDATE SET n = speculative.n + 1, v = excluded.v;
DELETE FROM shared.queue WHERE random() < 0.3;
INSERT INTO shared.queue SELECT i, i, 's' || i, ARRAY[i, i % 5], point(i, i) FROM generate_series(1, 120) i ON CONFLICT DO NOTHING;
INSERT INTO shared.queue SELECT i, 500 - i, 't' || i, ARRAY[i, i % 3], point(-i, i) FROM generate_series(60, 180) i
  ON CONFLICT (id) DO UPDATE SET state = excluded.state || 'u', place = excluded.place;
DELETE FROM shared.queue WHERE id % 2 = 0;
INSERT INTO shared.queue SELECT i, i, 's' || i, ARRAY[i, i % 5], point(i, i) FROM generate_series(200, 1, -1) i ON CONFLICT DO NOTHING;
DELETE FROM shared.queue WHERE id < 100;
INSERT INTO shared.queue SELECT i, i, 's' || i, ARRAY[i, i % 5], point(i, i) FROM generate_series(1, 120) i ON CONFLICT DO NOTHING;
MERGE INTO speculative t USING (SELECT i FROM generate_series(250, 350) i) s ON t.k = s.i
  WHEN MATCHED AND t.k % 2 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET n = n + 5
  WHEN NOT MATCHED THEN INSERT (k, n, v) VALUES (s.i, 1, 'merged');
