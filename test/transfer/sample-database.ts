/** Roles that the sample's owners and privileges name; the target has all but the last one. */
export const ROLES: readonly string[] = ['anna', 'Role "two"', 'nobody here'];

/**
 * A database that has something of every kind which is carried, under names that have to be quoted, with values that are
 * easily lost. It is made by a superuser.
 */
export const SAMPLE: readonly string[] = [
  // Schemas, extensions, collations, types
  `CREATE SCHEMA "sch ema"; CREATE SCHEMA "größe ""x"" 表"; CREATE SCHEMA "select" AUTHORIZATION anna`,
  `CREATE SCHEMA ext; CREATE EXTENSION hstore SCHEMA ext; CREATE EXTENSION citext SCHEMA public`,
  `CREATE COLLATION "sch ema"."my c" (provider = libc, locale = 'C')`,
  `CREATE COLLATION "sch ema".plain FROM "C"`,
  `CREATE TYPE "sch ema"."Mood" AS ENUM ('sad', 'o''k', '"happy"', 'über')`,
  `CREATE TYPE "sch ema".empty_enum AS ENUM ()`,
  `CREATE TYPE "sch ema"."pair of" AS ("left one" int, "order" text COLLATE "C", mood "sch ema"."Mood")`,
  `CREATE DOMAIN "sch ema".positive AS int DEFAULT 1 NOT NULL CONSTRAINT "above 0" CHECK (VALUE > 0)`,
  `CREATE DOMAIN "sch ema".code AS varchar(10) COLLATE "C" CHECK (VALUE ~ '^[A-Z\\\\''";$]*$')`,
  `ALTER DOMAIN "sch ema".code ADD CONSTRAINT later CHECK (length(VALUE) < 9) NOT VALID`,
  `CREATE FUNCTION "sch ema".distance(a float8, b float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT a - b'`,
  `CREATE TYPE "sch ema".float_span AS RANGE (subtype = float8, subtype_diff = "sch ema".distance,
     multirange_type_name = "sch ema"."float spans")`,
  `CREATE TYPE "sch ema".text_span AS RANGE (subtype = text, collation = "C")`,
  // Functions, which name what comes later
  `CREATE FUNCTION public.f_out(IN a int, INOUT b text DEFAULT 'it''s; $$', OUT c int) LANGUAGE plpgsql STABLE COST 7
     SET search_path = public, "sch ema" AS $body$ BEGIN b := b || $q$;\\$q$; c := a; END $body$`,
  `SET check_function_bodies = off;
   CREATE FUNCTION public.uses_later() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM public."Orders"'`,
  `CREATE PROCEDURE "sch ema"."do it"(INOUT x int) LANGUAGE plpgsql AS $$ BEGIN x := x + 1; END $$`,
  `CREATE FUNCTION public.checked(v int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN v < 1000; END $$`,
  `CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$`,
  `CREATE FUNCTION public.log_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RETURN; END $$`,
  `CREATE FUNCTION public.variadic(VARIADIC numbers int[]) RETURNS int LANGUAGE sql AS 'SELECT numbers[1]'`,
  `CREATE FUNCTION public.add_up(a int, b int) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT a + b'`,
  `CREATE AGGREGATE public.total(int) (SFUNC = public.add_up, STYPE = int, INITCOND = '0', COMBINEFUNC = public.add_up,
     MSFUNC = public.add_up, MINVFUNC = public.add_up, MSTYPE = int, PARALLEL = SAFE)`,
  `CREATE AGGREGATE public.how_many(*) (SFUNC = int8inc, STYPE = int8, INITCOND = '0')`,
  `CREATE AGGREGATE public.greatest_of(int) (SFUNC = int4larger, STYPE = int, SORTOP = >)`,
  `CREATE AGGREGATE public.middle(float8 ORDER BY float8) (SFUNC = ordered_set_transition, STYPE = internal,
     FINALFUNC = percentile_cont_float8_final)`,
  // Operators, classes, casts
  `CREATE FUNCTION "sch ema".mood_cmp("sch ema"."Mood", "sch ema"."Mood") RETURNS int LANGUAGE sql IMMUTABLE
     AS 'SELECT pg_catalog.enum_cmp($1, $2)'`,
  ...[
    [
      'lt',
      '<<<',
      'COMMUTATOR = OPERATOR("sch ema".>>>), NEGATOR = OPERATOR("sch ema".>>>=), RESTRICT = scalarltsel',
    ],
    ['le', '<<<=', 'COMMUTATOR = OPERATOR("sch ema".>>>=)'],
    ['eq', '===', 'COMMUTATOR = OPERATOR("sch ema".===), RESTRICT = eqsel, JOIN = eqjoinsel, MERGES'],
    ['ge', '>>>=', ''],
    ['gt', '>>>', ''],
  ].map(
    ([name, operator, more]) => `
     CREATE FUNCTION "sch ema".mood_${name}("sch ema"."Mood", "sch ema"."Mood") RETURNS bool LANGUAGE sql IMMUTABLE
       AS 'SELECT pg_catalog.enum_${name}($1, $2)';
     CREATE OPERATOR "sch ema".${operator} (FUNCTION = "sch ema".mood_${name}, LEFTARG = "sch ema"."Mood",
       RIGHTARG = "sch ema"."Mood"${more === '' ? '' : `, ${more}`})`,
  ),
  `CREATE FUNCTION public.half(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 / 2'`,
  `CREATE OPERATOR public.!! (FUNCTION = public.half, RIGHTARG = int)`,
  `CREATE OPERATOR FAMILY "sch ema"."moods fam" USING btree`,
  `CREATE OPERATOR CLASS "sch ema"."moods" FOR TYPE "sch ema"."Mood" USING btree FAMILY "sch ema"."moods fam" AS
     OPERATOR 1 "sch ema".<<<, OPERATOR 2 "sch ema".<<<=, OPERATOR 3 "sch ema".===, OPERATOR 4 "sch ema".>>>=,
     OPERATOR 5 "sch ema".>>>, FUNCTION 1 "sch ema".mood_cmp("sch ema"."Mood", "sch ema"."Mood")`,
  `CREATE FUNCTION public.to_pair(int) RETURNS "sch ema"."pair of" LANGUAGE sql IMMUTABLE
     AS 'SELECT ROW($1, NULL, NULL)::"sch ema"."pair of"'`,
  `CREATE CAST (int AS "sch ema"."pair of") WITH FUNCTION public.to_pair(int) AS ASSIGNMENT`,
  `CREATE TEXT SEARCH DICTIONARY public."my dict" (TEMPLATE = simple, STOPWORDS = english)`,
  `CREATE TEXT SEARCH CONFIGURATION "sch ema"."my config" (COPY = simple)`,
  `ALTER TEXT SEARCH CONFIGURATION "sch ema"."my config" ALTER MAPPING FOR asciiword, word WITH public."my dict", simple`,
  // Tables and sequences
  `CREATE SEQUENCE "sch ema"."Se q" AS smallint INCREMENT -2 MINVALUE -100 MAXVALUE 100 START 50 CACHE 3 CYCLE;
   SELECT nextval('"sch ema"."Se q"'); CREATE SEQUENCE public.never_called; CREATE UNLOGGED SEQUENCE public.unlogged_seq`,
  `CREATE TABLE public."Orders" (id serial, "user" text COLLATE "C" NOT NULL DEFAULT E'a\\'b\\\\', gone int,
     amount numeric(12,3) DEFAULT 1.5, double_amount numeric GENERATED ALWAYS AS (amount * 2) STORED,
     mood "sch ema"."Mood" DEFAULT 'o''k', pair "sch ema"."pair of", note text, code "sch ema".code,
     span "sch ema".float_span, tags text[], attributes ext.hstore, mail citext, "Ünï" date DEFAULT CURRENT_DATE,
     at timestamptz, doc jsonb, raw bytea, big text, price money, x xml,
     CONSTRAINT "has amount" CHECK (amount > 0), CONSTRAINT "not valid yet" CHECK (public.checked(id)) NO INHERIT)
     WITH (fillfactor = 70, autovacuum_enabled = false, toast.autovacuum_enabled = false)`,
  `ALTER TABLE public."Orders" DROP COLUMN gone; ALTER TABLE public."Orders" ALTER COLUMN big SET STORAGE EXTERNAL;
   ALTER TABLE public."Orders" ALTER COLUMN note SET COMPRESSION pglz;
   ALTER TABLE public."Orders" ALTER COLUMN amount SET STATISTICS 321;
   ALTER TABLE public."Orders" ALTER COLUMN amount SET (n_distinct = -0.5)`,
  `CREATE TABLE "sch ema"."table" (a int GENERATED ALWAYS AS IDENTITY (START 10 INCREMENT 5), "select" bigint GENERATED BY
     DEFAULT AS IDENTITY, "we;ird"" from stdin" text, PRIMARY KEY (a) INCLUDE ("select") WITH (fillfactor = 60))`,
  `CREATE TABLE public.no_columns (); CREATE UNLOGGED TABLE public.unlogged (a int PRIMARY KEY)`,
  `CREATE TABLE public.typed OF "sch ema"."pair of"; CREATE TABLE public.empty (a int, b text)`,
  `CREATE TABLE public.animals (id int NOT NULL, name text DEFAULT 'x', CONSTRAINT named CHECK (name <> ''));
   ALTER TABLE public.animals ADD COLUMN legs int DEFAULT 4;
   CREATE TABLE public.dogs (breed text, name text DEFAULT 'rex', CONSTRAINT named CHECK (name <> '')) INHERITS (public.animals);
   CREATE TABLE public.things (weight int); CREATE TABLE public.robots () INHERITS (public.dogs, public.things)`,
  `CREATE TABLE "größe ""x"" 表".parts (region text NOT NULL, at date NOT NULL, v int CHECK (v < 100)) PARTITION BY LIST (region);
   CREATE TABLE "größe ""x"" 表"."parts é" (v int, at date NOT NULL, region text NOT NULL, CONSTRAINT own CHECK (at > '2000-01-01'),
     CONSTRAINT parts_v_check CHECK (v < 100));
   ALTER TABLE "größe ""x"" 表".parts ATTACH PARTITION "größe ""x"" 表"."parts é" FOR VALUES IN ('é', NULL);
   CREATE TABLE "größe ""x"" 表".parts_a PARTITION OF "größe ""x"" 表".parts FOR VALUES IN ('a') PARTITION BY RANGE (at);
   CREATE TABLE "größe ""x"" 表".parts_a1 PARTITION OF "größe ""x"" 表".parts_a FOR VALUES FROM (MINVALUE) TO ('2020-01-01');
   CREATE TABLE "größe ""x"" 表".parts_a2 PARTITION OF "größe ""x"" 表".parts_a DEFAULT;
   CREATE TABLE public.hashed (id bigint GENERATED ALWAYS AS IDENTITY, k int) PARTITION BY HASH (k);
   CREATE TABLE public.hashed_0 PARTITION OF public.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
   CREATE TABLE public.hashed_1 PARTITION OF public.hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1)`,
  // Indexes, keys
  `ALTER TABLE public."Orders" ADD CONSTRAINT "Orders pk" PRIMARY KEY (id);
   ALTER TABLE public."Orders" ADD CONSTRAINT once UNIQUE NULLS NOT DISTINCT (mail, code) DEFERRABLE INITIALLY DEFERRED;
   ALTER TABLE public."Orders" ADD CONSTRAINT apart EXCLUDE USING gist (span WITH &&) WHERE (id > 5);
   ALTER TABLE public."Orders" ADD CONSTRAINT "late check" CHECK (note <> 'bad') NOT VALID;
   CREATE INDEX "lower user" ON public."Orders" (lower("user") DESC NULLS LAST, (amount + 1)) INCLUDE (note) WITH (fillfactor = 50) WHERE amount > 1;
   ALTER INDEX public."lower user" ALTER COLUMN 2 SET STATISTICS 77;
   CREATE INDEX ON public."Orders" USING gin (doc jsonb_path_ops); CREATE INDEX by_mood ON public."Orders" (mood "sch ema"."moods");
   CREATE UNIQUE INDEX "for identity" ON public."Orders" ("user", id);
   ALTER TABLE public.animals REPLICA IDENTITY FULL;
   ALTER TABLE public."Orders" REPLICA IDENTITY USING INDEX "for identity"; ALTER TABLE public."Orders" CLUSTER ON "Orders pk"`,
  `ALTER TABLE "größe ""x"" 表".parts ADD UNIQUE (region, at); CREATE INDEX "by v" ON "größe ""x"" 表".parts (v);
   CREATE INDEX only_here ON ONLY public.hashed (k)`,
  `CREATE TABLE public.lines (order_id int REFERENCES public."Orders" ON DELETE CASCADE DEFERRABLE, part_region text, part_at date,
     parent int, id int PRIMARY KEY, FOREIGN KEY (part_region, part_at) REFERENCES "größe ""x"" 表".parts (region, at) MATCH FULL);
   ALTER TABLE public.lines ADD CONSTRAINT self FOREIGN KEY (parent) REFERENCES public.lines (id) ON UPDATE SET NULL NOT VALID;
   ALTER TABLE public.hashed ADD CONSTRAINT to_lines FOREIGN KEY (k) REFERENCES public.lines (id)`,
  `CREATE STATISTICS "sch ema"."stat s" (dependencies, mcv) ON id, amount, (lower("user")) FROM public."Orders";
   ALTER STATISTICS "sch ema"."stat s" SET STATISTICS 42`,
  // Views
  `CREATE VIEW "sch ema"."v 1" WITH (security_barrier = true) AS SELECT id, "user" AS "from", count(*) OVER () FROM public."Orders"`,
  `CREATE VIEW public.grouped AS SELECT id, note, amount FROM public."Orders" GROUP BY id`,
  `CREATE VIEW public.writable WITH (check_option = cascaded) AS SELECT a, b FROM public.empty WHERE a > 0;
   ALTER VIEW public.writable ALTER COLUMN b SET DEFAULT 'of the view'`,
  `CREATE MATERIALIZED VIEW public.sums WITH (fillfactor = 90) AS SELECT id, from_v."from" FROM "sch ema"."v 1" AS from_v;
   CREATE UNIQUE INDEX sums_id ON public.sums (id);
   CREATE MATERIALIZED VIEW public.sums_of_sums AS SELECT count(*) AS n, public.how_many(*) AS m FROM public.sums;
   CREATE MATERIALIZED VIEW public.unfilled AS SELECT 1 AS one WITH NO DATA`,
  `CREATE FUNCTION public.first_order() RETURNS SETOF public.grouped BEGIN ATOMIC SELECT * FROM public.grouped LIMIT 1;
     SELECT id, CASE WHEN true THEN note END, amount FROM public.grouped; END`,
  // Triggers, rules, policies
  `CREATE TRIGGER "touch it" BEFORE UPDATE OF note ON public."Orders" FOR EACH ROW WHEN (OLD.id > 0) EXECUTE FUNCTION public.touch('a''b');
   CREATE TRIGGER off_one AFTER INSERT ON public."Orders" REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION public.touch();
   ALTER TABLE public."Orders" DISABLE TRIGGER off_one;
   CREATE TRIGGER on_parts AFTER INSERT ON "größe ""x"" 表".parts FOR EACH ROW EXECUTE FUNCTION public.touch();
   ALTER TABLE "größe ""x"" 表".parts_a2 ENABLE ALWAYS TRIGGER on_parts;
   CREATE CONSTRAINT TRIGGER later AFTER INSERT ON public.empty DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.touch();
   CREATE TRIGGER instead INSTEAD OF INSERT ON public.grouped FOR EACH ROW EXECUTE FUNCTION public.touch()`,
  `CREATE RULE "no delete" AS ON DELETE TO public.empty DO INSTEAD (SELECT 1; SELECT 2);
   CREATE RULE also AS ON INSERT TO public.animals DO ALSO NOTIFY "an imals"; ALTER TABLE public.animals DISABLE RULE also`,
  `ALTER TABLE public."Orders" ENABLE ROW LEVEL SECURITY; ALTER TABLE public."Orders" FORCE ROW LEVEL SECURITY;
   CREATE POLICY "own ones" ON public."Orders" AS RESTRICTIVE FOR UPDATE TO anna, "Role ""two""" USING ("user" = current_user) WITH CHECK (amount < 10);
   CREATE POLICY everybody ON public."Orders" FOR SELECT TO PUBLIC USING (true)`,
  `CREATE PUBLICATION "some of it" FOR TABLE public.animals, public."Orders" (id, "user") WHERE (id > 3) WITH (publish = 'insert, update');
   CREATE PUBLICATION schema_pub FOR TABLES IN SCHEMA "sch ema"; CREATE PUBLICATION nothing`,
  `CREATE EVENT TRIGGER "on ddl" ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'DROP TABLE') EXECUTE FUNCTION public.log_ddl();
   ALTER EVENT TRIGGER "on ddl" DISABLE`,
  // Comments
  `COMMENT ON SCHEMA "sch ema" IS 'it''s \\ a comment; --'; COMMENT ON TABLE public."Orders" IS E'two\\nlines';
   COMMENT ON COLUMN public."Orders"."user" IS 'of a column'; COMMENT ON COLUMN "sch ema"."pair of"."order" IS 'of an attribute';
   COMMENT ON FUNCTION public.f_out(int, text) IS 'of a function'; COMMENT ON AGGREGATE public.how_many(*) IS 'of an aggregate';
   COMMENT ON TYPE "sch ema"."Mood" IS 'of a type'; COMMENT ON DOMAIN "sch ema".positive IS 'of a domain';
   COMMENT ON CONSTRAINT "above 0" ON DOMAIN "sch ema".positive IS 'of its constraint';
   COMMENT ON CONSTRAINT "Orders pk" ON public."Orders" IS 'of a key'; COMMENT ON INDEX public."lower user" IS 'of an index';
   COMMENT ON TRIGGER "touch it" ON public."Orders" IS 'of a trigger'; COMMENT ON RULE "no delete" ON public.empty IS 'of a rule';
   COMMENT ON POLICY "own ones" ON public."Orders" IS 'of a policy'; COMMENT ON VIEW "sch ema"."v 1" IS 'of a view';
   COMMENT ON MATERIALIZED VIEW public.sums IS 'of a materialized view'; COMMENT ON SEQUENCE "sch ema"."Se q" IS 'of a sequence';
   COMMENT ON OPERATOR "sch ema".<<< ("sch ema"."Mood", "sch ema"."Mood") IS 'of an operator';
   COMMENT ON OPERATOR public.!! (NONE, int) IS 'of a prefix operator';
   COMMENT ON CAST (int AS "sch ema"."pair of") IS 'of a cast'; COMMENT ON STATISTICS "sch ema"."stat s" IS 'of statistics';
   COMMENT ON COLLATION "sch ema"."my c" IS 'of a collation'; COMMENT ON EXTENSION hstore IS 'of an extension';
   COMMENT ON OPERATOR CLASS "sch ema"."moods" USING btree IS 'of a class'; COMMENT ON PUBLICATION nothing IS 'of a publication';
   COMMENT ON TEXT SEARCH CONFIGURATION "sch ema"."my config" IS 'of a configuration'; COMMENT ON EVENT TRIGGER "on ddl" IS 'of one';
   COMMENT ON PROCEDURE "sch ema"."do it"(int) IS 'of a procedure'; COMMENT ON SCHEMA public IS 'not the standard one'`,
  // Values
  `INSERT INTO public."Orders" (amount, pair, note, code, span, tags, attributes, mail, "Ünï", at, doc, raw, big, price, x) VALUES
     (1.25, ROW(1, 'a,"b\\', 'o''k'), '', 'A\\''";$', '[1,2)', '{a,"b c",NULL,"",NULL}', 'a=>"b\\"c", d=>NULL', 'A@b.C', 'infinity',
      '-infinity', '{"a": [1, null, "\\u00fc\\n"]}', '\\x000102ff0a5c2e', repeat('tö', 300000), '$12.34', '<a>&amp;</a>'),
     ('NaN', NULL, NULL, NULL, 'empty', '{}', '', NULL, '-infinity', '0044-03-15 12:00:00.000001+00 BC', 'null', '', E'\\\\.\\n\\t\\r\\\\N', NULL, NULL),
     (3, ROW(NULL, NULL, NULL), E'\\\\N', NULL, NULL, '[5:6][0:1]={{1,2},{3,4}}', NULL, 'x', '4714-11-24 BC', 'infinity', '"\\\\"', NULL, 'NULL', '-1', NULL)`,
  `INSERT INTO public."Orders" (amount, note, mail, doc, big) SELECT i, 'n' || i, 'm' || i, jsonb_build_object('i', i),
     (SELECT string_agg(md5((i * 1000 + j)::text), '') FROM generate_series(1, 200) j) FROM generate_series(4, 60) i`,
  `INSERT INTO "sch ema"."table" ("we;ird"" from stdin") SELECT E'\\\\.' || chr(10) || i FROM generate_series(1, 3000) i`,
  `INSERT INTO public.no_columns DEFAULT VALUES; INSERT INTO public.no_columns DEFAULT VALUES; INSERT INTO public.unlogged VALUES (1);
   INSERT INTO public.typed VALUES (1, 'x', 'über'); INSERT INTO public.animals VALUES (1, 'a'); INSERT INTO public.dogs VALUES (2, 'b', 5, 'breed');
   INSERT INTO public.robots (id, breed, weight) VALUES (3, 'r', 7)`,
  `INSERT INTO "größe ""x"" 表".parts VALUES ('é', '2021-01-01', 1), ('a', '2019-01-01', 2), ('a', '2022-02-02', 3);
   INSERT INTO public.lines VALUES (1, 'é', '2021-01-01', NULL, 1), (2, NULL, NULL, NULL, 2);
   ALTER TABLE public.lines DISABLE TRIGGER ALL; UPDATE public.lines SET parent = 98 WHERE id = 2; ALTER TABLE public.lines ENABLE TRIGGER ALL;
   INSERT INTO public.hashed (k) VALUES (1), (2), (2)`,
  `REFRESH MATERIALIZED VIEW public.sums; REFRESH MATERIALIZED VIEW public.sums_of_sums`,
  // Owners and privileges
  `ALTER TABLE public."Orders" OWNER TO anna; ALTER VIEW public.grouped OWNER TO "Role ""two"""; ALTER TYPE "sch ema"."Mood" OWNER TO anna;
   ALTER FUNCTION public.add_up(int, int) OWNER TO anna; ALTER SEQUENCE "sch ema"."Se q" OWNER TO anna; ALTER SCHEMA "sch ema" OWNER TO anna;
   ALTER MATERIALIZED VIEW public.sums_of_sums OWNER TO anna; ALTER TEXT SEARCH DICTIONARY public."my dict" OWNER TO anna;
   GRANT SELECT ON public.sums TO anna; GRANT ALL ON SCHEMA public TO anna;
   GRANT SELECT, INSERT ON public."Orders" TO "Role ""two""" WITH GRANT OPTION; GRANT UPDATE (note, "user") ON public."Orders" TO PUBLIC;
   SET ROLE "Role ""two"""; GRANT SELECT ON public."Orders" TO PUBLIC; RESET ROLE; REVOKE USAGE ON SCHEMA public FROM PUBLIC;
   REVOKE INSERT ON public.empty FROM postgres; GRANT USAGE ON SEQUENCE "sch ema"."Se q" TO PUBLIC;
   REVOKE EXECUTE ON FUNCTION public.f_out(int, text) FROM PUBLIC; GRANT EXECUTE ON FUNCTION public.f_out(int, text) TO anna;
   REVOKE ALL ON TYPE "sch ema"."Mood" FROM PUBLIC; GRANT ALL ON PROCEDURE "sch ema"."do it"(int) TO anna;
   ALTER DEFAULT PRIVILEGES FOR ROLE anna GRANT SELECT ON TABLES TO "Role ""two""";
   ALTER DEFAULT PRIVILEGES IN SCHEMA "sch ema" REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
   ALTER DEFAULT PRIVILEGES FOR ROLE anna REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC`,
  'ANALYZE',
];
