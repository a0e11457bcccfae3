CREATE TABLE base (
    subject_key TEXT NOT NULL,
    relation_key TEXT NOT NULL,
    object_key TEXT NOT NULL,
    subject TEXT NOT NULL,
    relation TEXT NOT NULL,
    object TEXT NOT NULL,
    weight DOUBLE DEFAULT '1' NOT NULL,
    source TEXT NOT NULL,
    PRIMARY KEY (subject_key, relation_key, object_key)
)
 WITHOUT ROWID;
CREATE TABLE edits (
    user TEXT NOT NULL,
    id BIGINT NOT NULL,
    time BIGINT NOT NULL,
    kind TEXT NOT NULL,
    "query" TEXT NOT NULL,
    answer TEXT NOT NULL,
    loss_before DOUBLE,
    loss_after DOUBLE,
    stop_reason TEXT NOT NULL,
    model TEXT NOT NULL,
    milliseconds DOUBLE,
    said_by TEXT NOT NULL,
    undoes BIGINT,
    PRIMARY KEY (user, id)
)
 WITHOUT ROWID;
CREATE TABLE meta (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (name)
)
 WITHOUT ROWID;
CREATE TABLE names (
    user TEXT NOT NULL,
    word TEXT NOT NULL,
    entity_key TEXT NOT NULL,
    PRIMARY KEY (user, word, entity_key)
)
 WITHOUT ROWID;
CREATE TABLE overlay (
    user TEXT NOT NULL,
    subject_key TEXT NOT NULL,
    relation_key TEXT NOT NULL,
    object_key TEXT NOT NULL,
    subject TEXT NOT NULL,
    relation TEXT NOT NULL,
    object TEXT NOT NULL,
    sign SMALLINT NOT NULL,
    edit_id BIGINT NOT NULL,
    PRIMARY KEY (user, subject_key, relation_key, object_key)
)
 WITHOUT ROWID;
CREATE TABLE changes (
    user TEXT NOT NULL,
    subject_key TEXT NOT NULL,
    relation_key TEXT NOT NULL,
    object_key TEXT NOT NULL,
    edit_id BIGINT NOT NULL,
    subject TEXT NOT NULL,
    relation TEXT NOT NULL,
    object TEXT NOT NULL,
    position INTEGER NOT NULL,
    sign SMALLINT NOT NULL,
    reasoning DOUBLE,
    retrieval DOUBLE,
    PRIMARY KEY (user, subject_key, relation_key, object_key, edit_id),
    FOREIGN KEY(user, edit_id) REFERENCES edits (user, id) ON DELETE CASCADE
)
 WITHOUT ROWID;
CREATE INDEX changes_by_edit ON changes (user, edit_id, position);

INSERT INTO base ("subject_key", "relation_key", "object_key", "subject", "relation", "object", "weight", "source") VALUES ('cow', 'is a', 'ruminant', 'cow', 'is a', 'ruminant', 1.0, 'test');
INSERT INTO base ("subject_key", "relation_key", "object_key", "subject", "relation", "object", "weight", "source") VALUES ('dog', 'is a', 'animal', 'dog', 'IsA', 'animal', 2.0, 'seed');
INSERT INTO base ("subject_key", "relation_key", "object_key", "subject", "relation", "object", "weight", "source") VALUES ('dog', 'tells', 'story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end', 'dog', 'tells', 'a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end', 1.0, 'test');
INSERT INTO edits ("user", "id", "time", "kind", "query", "answer", "loss_before", "loss_after", "stop_reason", "model", "milliseconds", "said_by", "undoes") VALUES ('ada', 1, 1700000000000001, 'teach', 'Who''s that?', 'Rex', 2.5, 0.5, 'loss', 'm', 12.5, 'Ada', NULL);
INSERT INTO edits ("user", "id", "time", "kind", "query", "answer", "loss_before", "loss_after", "stop_reason", "model", "milliseconds", "said_by", "undoes") VALUES ('ada', 2, 1700000000000002, 'add', '', '', NULL, NULL, '', '', NULL, '', NULL);
INSERT INTO edits ("user", "id", "time", "kind", "query", "answer", "loss_before", "loss_after", "stop_reason", "model", "milliseconds", "said_by", "undoes") VALUES ('ada', 3, 1700000000000003, 'forget', '', '', NULL, NULL, '', '', NULL, '', NULL);
INSERT INTO edits ("user", "id", "time", "kind", "query", "answer", "loss_before", "loss_after", "stop_reason", "model", "milliseconds", "said_by", "undoes") VALUES ('ada', 4, 1700000000000004, 'undo', '', '', NULL, NULL, '', '', NULL, '', 1);
INSERT INTO edits ("user", "id", "time", "kind", "query", "answer", "loss_before", "loss_after", "stop_reason", "model", "milliseconds", "said_by", "undoes") VALUES ('bob', 1, 1700000000000001, 'add', '', '', NULL, NULL, '', '', NULL, '', NULL);
INSERT INTO meta ("name", "value") VALUES ('schema_version', '3');
INSERT INTO names ("user", "word", "entity_key") VALUES ('ada', 'dog', 'dog');
INSERT INTO names ("user", "word", "entity_key") VALUES ('ada', 'my', 'dog');
INSERT INTO names ("user", "word", "entity_key") VALUES ('ada', 'rex', 'dog');
INSERT INTO names ("user", "word", "entity_key") VALUES ('ada', 'rex', 'rex');
INSERT INTO names ("user", "word", "entity_key") VALUES ('bob', '<zdoł', 'łódź');
INSERT INTO names ("user", "word", "entity_key") VALUES ('bob', 'łodz', 'łódź');
INSERT INTO overlay ("user", "subject_key", "relation_key", "object_key", "subject", "relation", "object", "sign", "edit_id") VALUES ('ada', 'dog', 'is a', 'animal', 'dog', 'IsA', 'animal', 1, 4);
INSERT INTO overlay ("user", "subject_key", "relation_key", "object_key", "subject", "relation", "object", "sign", "edit_id") VALUES ('ada', 'dog', 'is called', 'rex', 'My dog', 'is called', 'Rex', -1, 4);
INSERT INTO overlay ("user", "subject_key", "relation_key", "object_key", "subject", "relation", "object", "sign", "edit_id") VALUES ('ada', 'dog', 'likes', 'carrots', 'My dog', 'likes', 'carrots', -1, 4);
INSERT INTO overlay ("user", "subject_key", "relation_key", "object_key", "subject", "relation", "object", "sign", "edit_id") VALUES ('ada', 'dog', 'tells', 'story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end', 'dog', 'tells', 'a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end', -1, 3);
INSERT INTO overlay ("user", "subject_key", "relation_key", "object_key", "subject", "relation", "object", "sign", "edit_id") VALUES ('ada', 'dog', 'tells', 'story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end but this one does', 'dog', 'tells', 'a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end but this one does', 1, 2);
INSERT INTO overlay ("user", "subject_key", "relation_key", "object_key", "subject", "relation", "object", "sign", "edit_id") VALUES ('ada', 'rex', 'tells', 'story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end', 'Rex', 'tells', 'a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end', 1, 2);
INSERT INTO overlay ("user", "subject_key", "relation_key", "object_key", "subject", "relation", "object", "sign", "edit_id") VALUES ('bob', 'łódź', 'is a', 'city', 'Łódź', 'IsA', 'city', 1, 1);
INSERT INTO changes ("user", "subject_key", "relation_key", "object_key", "edit_id", "subject", "relation", "object", "position", "sign", "reasoning", "retrieval") VALUES ('ada', 'dog', 'is a', 'animal', 1, 'dog', 'IsA', 'animal', 2, -1, NULL, NULL);
INSERT INTO changes ("user", "subject_key", "relation_key", "object_key", "edit_id", "subject", "relation", "object", "position", "sign", "reasoning", "retrieval") VALUES ('ada', 'dog', 'is a', 'animal', 4, 'dog', 'IsA', 'animal', 0, 1, NULL, NULL);
INSERT INTO changes ("user", "subject_key", "relation_key", "object_key", "edit_id", "subject", "relation", "object", "position", "sign", "reasoning", "retrieval") VALUES ('ada', 'dog', 'is called', 'rex', 1, 'My dog', 'is called', 'Rex', 0, 1, 0.5, 0.25);
INSERT INTO changes ("user", "subject_key", "relation_key", "object_key", "edit_id", "subject", "relation", "object", "position", "sign", "reasoning", "retrieval") VALUES ('ada', 'dog', 'is called', 'rex', 4, 'My dog', 'is called', 'Rex', 1, -1, NULL, NULL);
INSERT INTO changes ("user", "subject_key", "relation_key", "object_key", "edit_id", "subject", "relation", "object", "position", "sign", "reasoning", "retrieval") VALUES ('ada', 'dog', 'likes', 'carrots', 1, 'My dog', 'likes', 'carrots', 1, 1, 0.5, 0.25);
INSERT INTO changes ("user", "subject_key", "relation_key", "object_key", "edit_id", "subject", "relation", "object", "position", "sign", "reasoning", "retrieval") VALUES ('ada', 'dog', 'likes', 'carrots', 4, 'My dog', 'likes', 'carrots', 2, -1, NULL, NULL);
INSERT INTO changes ("user", "subject_key", "relation_key", "object_key", "edit_id", "subject", "relation", "object", "position", "sign", "reasoning", "retrieval") VALUES ('ada', 'dog', 'tells', 'story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end', 3, 'dog', 'tells', 'a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end', 0, -1, NULL, NULL);
INSERT INTO changes ("user", "subject_key", "relation_key", "object_key", "edit_id", "subject", "relation", "object", "position", "sign", "reasoning", "retrieval") VALUES ('ada', 'dog', 'tells', 'story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end but this one does', 2, 'dog', 'tells', 'a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end but this one does', 1, 1, 0.5, 0.25);
INSERT INTO changes ("user", "subject_key", "relation_key", "object_key", "edit_id", "subject", "relation", "object", "position", "sign", "reasoning", "retrieval") VALUES ('ada', 'rex', 'tells', 'story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end', 2, 'Rex', 'tells', 'a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end a story that does not end', 0, 1, 0.5, 0.25);
INSERT INTO changes ("user", "subject_key", "relation_key", "object_key", "edit_id", "subject", "relation", "object", "position", "sign", "reasoning", "retrieval") VALUES ('bob', 'łódź', 'is a', 'city', 1, 'Łódź', 'IsA', 'city', 0, 1, 0.5, 0.25);
