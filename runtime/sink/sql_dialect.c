/* SPDX-License-Identifier: MIT
 *
 * What differs from engine to engine, as data. In the statements of `objects` nothing is replaced:
 * each is sent as it stands.
 */
#include "sink/sql.h"

/* The columns of the view are the same everywhere; so is where they come from. */
#define VIEW_COLUMNS                                                                               \
    "SELECT l.id AS id, d.content AS sent_data, t.name AS message_type, gt.name AS guild_type, "   \
    "g.snowflake_id AS guild_id, g.name AS guild_name, m.name AS message_mode, "                   \
    "l.dm_reason AS dm_reason, l.timestamp AS timestamp "                                          \
    "FROM MessageLOG l JOIN DataHISTORY d ON d.id = l.sent_data "                                  \
    "JOIN MessageTYPE t ON t.id = l.message_type JOIN GuildUSER g ON g.id = l.guild_id "           \
    "JOIN GuildTYPE gt ON gt.id = g.guild_type LEFT JOIN MessageMODE m ON m.id = l.message_mode"

/* A log counts as successful when nothing in it failed. */
#define FULL_SUCCESS                                                                               \
    "l.dm_reason IS NULL AND NOT EXISTS (SELECT 1 FROM MessageChannelLOG c "                       \
    "WHERE c.log_id = l.id AND c.reason IS NOT NULL)"

static const char *const sqlite_objects[] = {
    "CREATE VIEW IF NOT EXISTS vMessageLogFullDETAIL AS " VIEW_COLUMNS,
    "CREATE VIEW IF NOT EXISTS vLogSuccessRate AS SELECT l.id AS log_id, "
    "ROUND(COALESCE((SELECT AVG(c.reason IS NULL) FROM MessageChannelLOG c WHERE c.log_id = l.id), "
    "1.0), 5) AS success_rate FROM MessageLOG l",
    "CREATE VIEW IF NOT EXISTS vGuildUserSuccessRate AS SELECT g.snowflake_id AS snowflake_id, "
    "ROUND(COALESCE((SELECT AVG(l.good) FROM (SELECT " FULL_SUCCESS " AS good FROM MessageLOG l "
    "WHERE l.guild_id = g.id ORDER BY l.timestamp DESC, l.id DESC LIMIT 1000) l), 1.0), 5) "
    "AS success_rate FROM GuildUSER g",
    "CREATE TRIGGER IF NOT EXISTS tr_delete_msg_log AFTER DELETE ON MessageChannelLOG "
    "FOR EACH ROW BEGIN DELETE FROM MessageLOG WHERE id = OLD.log_id AND NOT EXISTS "
    "(SELECT 1 FROM MessageChannelLOG WHERE log_id = OLD.log_id); END",
    NULL,
};

static const char *const postgresql_objects[] = {
    "CREATE OR REPLACE VIEW vMessageLogFullDETAIL AS " VIEW_COLUMNS,
    "CREATE OR REPLACE FUNCTION fn_log_success_rate(log_id bigint) RETURNS decimal "
    "LANGUAGE sql STABLE AS $$ SELECT COALESCE(ROUND(AVG(CASE WHEN c.reason IS NULL THEN 1.0 "
    "ELSE 0.0 END), 5), 1.00000) FROM MessageChannelLOG c WHERE c.log_id = $1 $$",
    "CREATE OR REPLACE FUNCTION fn_guilduser_success_rate(snowflake_id bigint, "
    "\"limit\" integer DEFAULT 1000) RETURNS decimal LANGUAGE sql STABLE AS $$ "
    "SELECT COALESCE(ROUND(AVG(CASE WHEN " FULL_SUCCESS " THEN 1.0 ELSE 0.0 END), 5), 1.00000) "
    "FROM (SELECT m.id, m.dm_reason FROM MessageLOG m JOIN GuildUSER g ON g.id = m.guild_id "
    "WHERE g.snowflake_id = $1 ORDER BY m.timestamp DESC, m.id DESC "
    "LIMIT GREATEST(COALESCE($2, 1000), 0)) l $$",
    "CREATE OR REPLACE FUNCTION tr_delete_msg_log() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "DELETE FROM MessageLOG l WHERE l.id IN (SELECT d.log_id FROM deleted_rows d) AND NOT EXISTS "
    "(SELECT 1 FROM MessageChannelLOG c WHERE c.log_id = l.id); RETURN NULL; END $$",
    "DROP TRIGGER IF EXISTS tr_delete_msg_log ON MessageChannelLOG",
    "CREATE TRIGGER tr_delete_msg_log AFTER DELETE ON MessageChannelLOG "
    "REFERENCING OLD TABLE AS deleted_rows FOR EACH STATEMENT "
    "EXECUTE FUNCTION tr_delete_msg_log()",
    "CREATE OR REPLACE PROCEDURE sp_save_log(sent_data text, message_type integer, "
    "guild_id bigint, message_mode integer, dm_reason text, channels json) LANGUAGE plpgsql AS $$ "
    "DECLARE v_hash text := encode(sha256(convert_to($1, 'UTF8')), 'hex'); v_data bigint; "
    "v_log bigint; v_rest text; BEGIN "
    "INSERT INTO DataHISTORY (content, content_hash) VALUES ($1, v_hash) "
    "ON CONFLICT (content_hash) DO NOTHING; "
    "SELECT d.id INTO v_data FROM DataHISTORY d WHERE d.content_hash = v_hash; "
    "SELECT '{\"seq\":0,\"level\":\"info\",\"logger\":\"message\",\"text\":\"sp_save_log\","
    "\"type\":\"' || t.name || '\",\"guild\":{\"name\":' || to_json(g.name)::text || ',\"id\":\"' "
    "|| g.snowflake_id || '\",\"type\":\"' || gt.name || '\"},\"sent_data\":null}' INTO v_rest "
    "FROM MessageTYPE t, GuildUSER g JOIN GuildTYPE gt ON gt.id = g.guild_type "
    "WHERE t.id = $2 AND g.id = $3; "
    "INSERT INTO MessageLOG (sent_data, message_type, guild_id, message_mode, dm_reason, "
    "timestamp, record_id, node, record) VALUES (v_data, $2, $3, $4, $5, "
    "clock_timestamp() AT TIME ZONE 'UTC', "
    "'0' || upper(left(md5(random()::text || clock_timestamp()::text || $1), 25)), '', v_rest) "
    "RETURNING id INTO v_log; "
    "INSERT INTO MessageChannelLOG (log_id, channel_id, reason) "
    "SELECT v_log, (c->>'id')::bigint, c->>'reason' FROM json_array_elements($6) c; END $$",
    NULL,
};

/* MySQL takes no path that is not a literal in JSON_VALUE. */
static const char *const mariadb_objects[] = {
    "CREATE OR REPLACE VIEW vMessageLogFullDETAIL AS " VIEW_COLUMNS,
    "DROP FUNCTION IF EXISTS fn_log_success_rate",
    "CREATE FUNCTION fn_log_success_rate(p_log BIGINT) RETURNS DECIMAL(8,5) READS SQL DATA "
    "RETURN COALESCE((SELECT AVG(c.reason IS NULL) FROM MessageChannelLOG c "
    "WHERE c.log_id = p_log), 1)",
    "DROP FUNCTION IF EXISTS fn_guilduser_success_rate",
    "CREATE FUNCTION fn_guilduser_success_rate(p_snowflake BIGINT, p_limit INT) "
    "RETURNS DECIMAL(8,5) READS SQL DATA BEGIN "
    "DECLARE v_limit INT UNSIGNED DEFAULT GREATEST(COALESCE(p_limit, 1000), 0); "
    "DECLARE v_rate DECIMAL(8,5); "
    "SELECT AVG(" FULL_SUCCESS ") INTO v_rate FROM (SELECT m.id, m.dm_reason FROM MessageLOG m "
    "JOIN GuildUSER g ON g.id = m.guild_id WHERE g.snowflake_id = p_snowflake "
    "ORDER BY m.timestamp DESC, m.id DESC LIMIT v_limit) l; RETURN COALESCE(v_rate, 1); END",
    "DROP TRIGGER IF EXISTS tr_delete_msg_log",
    "CREATE TRIGGER tr_delete_msg_log AFTER DELETE ON MessageChannelLOG FOR EACH ROW "
    "DELETE FROM MessageLOG WHERE id = OLD.log_id AND NOT EXISTS "
    "(SELECT 1 FROM MessageChannelLOG c WHERE c.log_id = OLD.log_id)",
    "DROP PROCEDURE IF EXISTS sp_save_log",
    "CREATE PROCEDURE sp_save_log(IN p_sent_data LONGTEXT CHARACTER SET utf8mb4, "
    "IN p_message_type SMALLINT, IN p_guild_id BIGINT, IN p_message_mode SMALLINT, "
    "IN p_dm_reason LONGTEXT CHARACTER SET utf8mb4, IN p_channels LONGTEXT CHARACTER SET utf8mb4) "
    "MODIFIES SQL DATA BEGIN "
    "DECLARE v_hash CHAR(64) CHARACTER SET ascii DEFAULT SHA2(p_sent_data, 256); "
    "DECLARE v_data BIGINT; DECLARE v_log BIGINT; DECLARE v_i INT DEFAULT 0; "
    "DECLARE v_rest LONGTEXT CHARACTER SET utf8mb4; "
    "INSERT INTO DataHISTORY (content, content_hash) VALUES (p_sent_data, v_hash) "
    "ON DUPLICATE KEY UPDATE content_hash = content_hash; "
    "SELECT d.id INTO v_data FROM DataHISTORY d WHERE d.content_hash = v_hash; "
    "SELECT CONCAT('{\"seq\":0,\"level\":\"info\",\"logger\":\"message\",\"text\":\"sp_save_log\","
    "\"type\":\"', t.name, '\",\"guild\":{\"name\":', JSON_QUOTE(g.name), ',\"id\":\"', "
    "g.snowflake_id, '\",\"type\":\"', gt.name, '\"},\"sent_data\":null}') INTO v_rest "
    "FROM MessageTYPE t, GuildUSER g JOIN GuildTYPE gt ON gt.id = g.guild_type "
    "WHERE t.id = p_message_type AND g.id = p_guild_id; "
    "INSERT INTO MessageLOG (sent_data, message_type, guild_id, message_mode, dm_reason, "
    "timestamp, record_id, node, record) VALUES (v_data, p_message_type, p_guild_id, "
    "p_message_mode, p_dm_reason, UTC_TIMESTAMP(6), "
    "CONCAT('0', UPPER(LEFT(MD5(CONCAT(UUID(), RAND())), 25))), '', v_rest); "
    "SET v_log = LAST_INSERT_ID(); "
    "WHILE v_i < COALESCE(JSON_LENGTH(p_channels), 0) DO "
    "INSERT INTO MessageChannelLOG (log_id, channel_id, reason) VALUES (v_log, "
    "JSON_UNQUOTE(JSON_EXTRACT(p_channels, CONCAT('$[', v_i, '].id'))), "
    "IF(JSON_TYPE(JSON_EXTRACT(p_channels, CONCAT('$[', v_i, '].reason'))) = 'NULL', NULL, "
    "JSON_UNQUOTE(JSON_EXTRACT(p_channels, CONCAT('$[', v_i, '].reason'))))); "
    "SET v_i = v_i + 1; END WHILE; END",
    NULL,
};

/* The content's hash is that of its UTF-8, as everywhere: SQL Server 2019 and newer. */
static const char *const sqlserver_objects[] = {
    "DROP VIEW IF EXISTS vMessageLogFullDETAIL",
    "CREATE VIEW vMessageLogFullDETAIL AS " VIEW_COLUMNS,
    "DROP FUNCTION IF EXISTS fn_log_success_rate",
    "CREATE FUNCTION fn_log_success_rate (@log_id BIGINT) RETURNS DECIMAL(8, 5) AS BEGIN "
    "DECLARE @rate DECIMAL(8, 5); "
    "SELECT @rate = AVG(CASE WHEN c.reason IS NULL THEN 1.0 ELSE 0.0 END) "
    "FROM MessageChannelLOG AS c WHERE c.log_id = @log_id; "
    "RETURN ISNULL(@rate, 1); END",
    "DROP FUNCTION IF EXISTS fn_guilduser_success_rate",
    "CREATE FUNCTION fn_guilduser_success_rate (@snowflake_id BIGINT, @limit INT = 1000) "
    "RETURNS DECIMAL(8, 5) AS BEGIN DECLARE @rate DECIMAL(8, 5); "
    "IF @limit IS NULL SET @limit = 1000; IF @limit < 0 SET @limit = 0; "
    "SELECT @rate = AVG(r.good) FROM (SELECT CASE WHEN " FULL_SUCCESS
    " THEN 1.0 ELSE 0.0 END AS good FROM (SELECT TOP (@limit) m.id, m.dm_reason "
    "FROM MessageLOG AS m JOIN GuildUSER AS g ON g.id = m.guild_id "
    "WHERE g.snowflake_id = @snowflake_id ORDER BY m.timestamp DESC, m.id DESC) AS l) AS r; "
    "RETURN ISNULL(@rate, 1); END",
    "DROP TRIGGER IF EXISTS tr_delete_msg_log",
    "CREATE TRIGGER tr_delete_msg_log ON MessageChannelLOG FOR DELETE AS BEGIN SET NOCOUNT ON; "
    "DELETE FROM MessageLOG WHERE id IN (SELECT d.log_id FROM deleted AS d) AND NOT EXISTS "
    "(SELECT 1 FROM MessageChannelLOG AS c WHERE c.log_id = MessageLOG.id); END",
    "DROP PROCEDURE IF EXISTS sp_save_log",
    "IF TYPE_ID(N't_tmp_channel_log') IS NULL "
    "CREATE TYPE t_tmp_channel_log AS TABLE (id BIGINT NOT NULL, reason NVARCHAR(MAX) NULL)",
    "CREATE PROCEDURE sp_save_log (@sent_data NVARCHAR(MAX), @message_type SMALLINT, "
    "@guild_id BIGINT, @message_mode SMALLINT, @dm_reason NVARCHAR(MAX), "
    "@channels t_tmp_channel_log READONLY) AS BEGIN SET NOCOUNT ON; "
    "DECLARE @hash CHAR(64), @data BIGINT, @log BIGINT, @rest NVARCHAR(MAX); "
    "SET @hash = LOWER(CONVERT(CHAR(64), HASHBYTES('SHA2_256', CONVERT(VARCHAR(MAX), "
    "@sent_data COLLATE Latin1_General_100_BIN2_UTF8)), 2)); "
    "BEGIN TRY BEGIN TRANSACTION; "
    "IF NOT EXISTS (SELECT 1 FROM DataHISTORY WHERE content_hash = @hash) "
    "INSERT INTO DataHISTORY (content, content_hash) VALUES (@sent_data, @hash); "
    "SELECT @data = id FROM DataHISTORY WHERE content_hash = @hash; "
    "SELECT @rest = N'{\"seq\":0,\"level\":\"info\",\"logger\":\"message\","
    "\"text\":\"sp_save_log\",\"type\":\"' + t.name + N'\",\"guild\":{\"name\":\"' + "
    "STRING_ESCAPE(g.name, 'json') + N'\",\"id\":\"' + CONVERT(NVARCHAR(20), g.snowflake_id) + "
    "N'\",\"type\":\"' + gt.name + N'\"},\"sent_data\":null}' FROM MessageTYPE AS t "
    "CROSS JOIN GuildUSER AS g JOIN GuildTYPE AS gt ON gt.id = g.guild_type "
    "WHERE t.id = @message_type AND g.id = @guild_id; "
    "INSERT INTO MessageLOG (sent_data, message_type, guild_id, message_mode, dm_reason, "
    "timestamp, record_id, node, record) VALUES (@data, @message_type, @guild_id, @message_mode, "
    "@dm_reason, SYSUTCDATETIME(), '0' + LEFT(REPLACE(CONVERT(CHAR(36), NEWID()), '-', ''), 25), "
    "N'', @rest); "
    "SET @log = SCOPE_IDENTITY(); "
    "INSERT INTO MessageChannelLOG (log_id, channel_id, reason) "
    "SELECT @log, c.id, c.reason FROM @channels AS c; COMMIT TRANSACTION; "
    "END TRY BEGIN CATCH IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION; THROW; END CATCH; END",
    NULL,
};

const struct crier_sql_dialect crier_sql_dialects[4] = {
    [CRIER_SQL_SQLITE] =
        {
            .engine = CRIER_SQL_SQLITE,
            .name = "SQLite",
            .types = {[CRIER_SQL_INT] = "INTEGER",
                      [CRIER_SQL_BIG] = "BIGINT",
                      [CRIER_SQL_REAL] = "DOUBLE",
                      [CRIER_SQL_BOOL] = "SMALLINT",
                      [CRIER_SQL_TIME] = "TIMESTAMP",
                      [CRIER_SQL_ID] = "CHAR(26)",
                      [CRIER_SQL_HASH] = "CHAR(64)",
                      [CRIER_SQL_NAME] = "TEXT",
                      [CRIER_SQL_TEXT] = "TEXT"},
            .marks = {"?", "?", "?", "?", "?", "?", "?", "?", "?"},
            .serial = "INTEGER PRIMARY KEY AUTOINCREMENT",
            .quotes = "\"\"",
            .time_out = "%s",
            .suffix = "",
            .max_params = 32768,
            .max_rows = 128,
            .exact_text = true,
            .own_begin = true,
            .setup = NULL,
            .objects = sqlite_objects,
            .present = "SELECT COUNT(*) FROM sqlite_master WHERE (type = 'table' AND name IN (%s)) "
                       "OR name IN ('vMessageLogFullDETAIL', 'vLogSuccessRate', "
                       "'vGuildUserSuccessRate', 'tr_delete_msg_log')",
            .object_count = 4,
            .exists = "SELECT COUNT(*) FROM sqlite_master WHERE name = ?",
            .find_table =
                "SELECT name FROM sqlite_master WHERE type = 'table' AND lower(name) = '%s'",
            .find_column =
                "SELECT COUNT(*) FROM sqlite_master m, pragma_table_info(m.name) c WHERE "
                "m.type = 'table' AND lower(m.name) = '%s' AND lower(c.name) = '%s'",
        },
    [CRIER_SQL_POSTGRESQL] =
        {
            .engine = CRIER_SQL_POSTGRESQL,
            .name = "PostgreSQL",
            .types = {[CRIER_SQL_INT] = "INTEGER",
                      [CRIER_SQL_BIG] = "BIGINT",
                      [CRIER_SQL_REAL] = "DOUBLE PRECISION",
                      [CRIER_SQL_BOOL] = "BOOLEAN",
                      [CRIER_SQL_TIME] = "TIMESTAMP(6)",
                      [CRIER_SQL_ID] = "VARCHAR(26) COLLATE \"C\"",
                      [CRIER_SQL_HASH] = "VARCHAR(64) COLLATE \"C\"",
                      [CRIER_SQL_NAME] = "TEXT",
                      [CRIER_SQL_TEXT] = "TEXT"},
            .marks = {[CRIER_SQL_INT] = "CAST(? AS bigint)",
                      [CRIER_SQL_BIG] = "CAST(? AS bigint)",
                      [CRIER_SQL_REAL] = "CAST(? AS double precision)",
                      [CRIER_SQL_BOOL] = "CAST(? AS boolean)",
                      [CRIER_SQL_TIME] = "CAST(? AS timestamp)",
                      [CRIER_SQL_ID] = "CAST(? AS text)",
                      [CRIER_SQL_HASH] = "CAST(? AS text)",
                      [CRIER_SQL_NAME] = "CAST(? AS text)",
                      [CRIER_SQL_TEXT] = "CAST(? AS text)"},
            .serial = "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
            .quotes = "\"\"",
            .time_out = "to_char(%s, 'YYYY-MM-DD HH24:MI:SS.US')",
            .suffix = "",
            .max_params = 65535,
            .max_rows = 512,
            .name_max = 500, /* an index takes 2,700 bytes */
            .exact_text = true,
            .setup = NULL,
            /* Plans are kept, and those made while a table is small would read it from end to end
             * when it no longer is. */
            .on_begin = "SET LOCAL enable_seqscan = off",
            .objects = postgresql_objects,
            .present =
                "SELECT (SELECT COUNT(*) FROM pg_class WHERE relnamespace = "
                "current_schema()::regnamespace AND relname IN (%s, 'vmessagelogfulldetail')) + "
                "(SELECT COUNT(*) FROM pg_proc WHERE pronamespace = "
                "current_schema()::regnamespace AND proname IN ('fn_log_success_rate', "
                "'fn_guilduser_success_rate', 'tr_delete_msg_log', 'sp_save_log')) + "
                "(SELECT COUNT(*) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
                "WHERE t.tgname = 'tr_delete_msg_log' AND c.relnamespace = "
                "current_schema()::regnamespace)",
            .object_count = 6,
            .exists = "SELECT COUNT(*) FROM pg_class WHERE relnamespace = "
                      "current_schema()::regnamespace AND relname = CAST(? AS text)",
            .find_table = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = "
                          "current_schema()::regnamespace AND lower(relname) = '%s' ORDER BY 1",
            .find_column = "SELECT COUNT(*) FROM pg_class c JOIN pg_attribute a ON a.attrelid = "
                           "c.oid WHERE c.relkind = 'r' AND c.relnamespace = "
                           "current_schema()::regnamespace AND lower(c.relname) = '%s' AND "
                           "a.attname = '%s' AND NOT a.attisdropped",
        },
    [CRIER_SQL_MARIADB] =
        {
            .engine = CRIER_SQL_MARIADB,
            .name = "MariaDB",
            .types = {[CRIER_SQL_INT] = "INT",
                      [CRIER_SQL_BIG] = "BIGINT",
                      [CRIER_SQL_REAL] = "DOUBLE",
                      [CRIER_SQL_BOOL] = "TINYINT",
                      [CRIER_SQL_TIME] = "DATETIME(6)",
                      [CRIER_SQL_ID] = "CHAR(26) CHARACTER SET ascii COLLATE ascii_bin",
                      [CRIER_SQL_HASH] = "CHAR(64) CHARACTER SET ascii COLLATE ascii_bin",
                      [CRIER_SQL_NAME] = "VARCHAR(255)",
                      [CRIER_SQL_TEXT] = "LONGTEXT"},
            .marks = {"?", "?", "?", "?", "?", "?", "?", "?", "?"},
            .serial = "BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY",
            .quotes = "``",
            .time_out = "DATE_FORMAT(%s, '%%Y-%%m-%%d %%H:%%i:%%s.%%f')",
            .suffix = " ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            .max_params = 65535,
            .max_rows = 512,
            .name_max = 255,
            .setup = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION';"
                     "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;"
                     "SET SESSION time_zone = '+00:00'",
            .objects = mariadb_objects,
            .present =
                "SELECT (SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = "
                "DATABASE() AND TABLE_NAME IN (%s, 'vMessageLogFullDETAIL')) + "
                "(SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = "
                "DATABASE() AND ROUTINE_NAME IN ('fn_log_success_rate', "
                "'fn_guilduser_success_rate', 'sp_save_log')) + "
                "(SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = "
                "DATABASE() AND TRIGGER_NAME = 'tr_delete_msg_log')",
            .object_count = 5,
            .exists = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = "
                      "DATABASE() AND TABLE_NAME = ?",
            .find_table = "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = "
                          "DATABASE() AND TABLE_TYPE = 'BASE TABLE' AND LOWER(TABLE_NAME) = '%s'",
            .find_column = "SELECT COUNT(*) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = "
                           "DATABASE() AND LOWER(TABLE_NAME) = '%s' AND LOWER(COLUMN_NAME) = '%s'",
        },
    [CRIER_SQL_SQLSERVER] =
        {
            .engine = CRIER_SQL_SQLSERVER,
            .name = "SQL Server",
            .types = {[CRIER_SQL_INT] = "INT",
                      [CRIER_SQL_BIG] = "BIGINT",
                      [CRIER_SQL_REAL] = "FLOAT",
                      [CRIER_SQL_BOOL] = "BIT",
                      [CRIER_SQL_TIME] = "DATETIME2(6)",
                      [CRIER_SQL_ID] = "CHAR(26)",
                      [CRIER_SQL_HASH] = "CHAR(64)",
                      [CRIER_SQL_NAME] = "NVARCHAR(255) COLLATE Latin1_General_BIN2",
                      [CRIER_SQL_TEXT] = "NVARCHAR(MAX)"},
            .marks = {[CRIER_SQL_INT] = "?",
                      [CRIER_SQL_BIG] = "?",
                      [CRIER_SQL_REAL] = "?",
                      [CRIER_SQL_BOOL] = "?",
                      [CRIER_SQL_TIME] = "CONVERT(DATETIME2(6), ?, 121)",
                      [CRIER_SQL_ID] = "?",
                      [CRIER_SQL_HASH] = "?",
                      [CRIER_SQL_NAME] = "?",
                      [CRIER_SQL_TEXT] = "?"},
            .serial = "BIGINT IDENTITY(1, 1) NOT NULL PRIMARY KEY",
            .quotes = "[]",
            .time_out = "CONVERT(VARCHAR(26), %s, 121)",
            .suffix = "",
            .max_params = 2100,
            .max_rows = 128,
            .name_max = 255,
            .setup = NULL,
            .objects = sqlserver_objects,
            .present = "SELECT (SELECT COUNT(*) FROM sys.objects WHERE schema_id = SCHEMA_ID() AND "
                       "name IN "
                       "(%s, N'vMessageLogFullDETAIL', N'fn_log_success_rate', "
                       "N'fn_guilduser_success_rate', N'tr_delete_msg_log', N'sp_save_log')) + "
                       "(SELECT COUNT(*) FROM sys.types WHERE schema_id = SCHEMA_ID() "
                       "AND name = N't_tmp_channel_log')",
            .object_count = 6,
            .exists = "SELECT COUNT(*) FROM sys.objects WHERE schema_id = SCHEMA_ID() AND name = ?",
            .find_table = "SELECT t.name FROM sys.tables AS t WHERE t.schema_id = SCHEMA_ID() AND "
                          "LOWER(t.name) = N'%s'",
            .find_column = "SELECT COUNT(*) FROM sys.tables AS t JOIN sys.columns AS c ON "
                           "c.object_id = t.object_id WHERE t.schema_id = SCHEMA_ID() AND "
                           "LOWER(t.name) = N'%s' AND LOWER(c.name) = N'%s'",
        },
};
