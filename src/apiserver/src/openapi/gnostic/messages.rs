//! Which message each object of a document becomes, and where its fields go.
//!
//! They have the fields that our documents have, not all that gnostic knows.

use super::{Form, Message};

pub(super) static DOCUMENT: Message = Message {
    fields: &[
        ("swagger", 1, Form::Text),
        ("info", 2, Form::One(&INFO)),
        ("paths", 8, Form::One(&PATHS)),
        ("definitions", 9, Form::One(&NAMED_SCHEMAS)),
        ("security", 12, Form::Each(&Form::One(&SECURITY_REQUIREMENT))),
        ("securityDefinitions", 13, Form::One(&SECURITY_DEFINITIONS)),
    ],
    others: None,
    extensions: Some(16),
};

static INFO: Message = Message {
    fields: &[("title", 1, Form::Text), ("version", 2, Form::Text)],
    others: None,
    extensions: Some(7),
};

static PATHS: Message =
    Message { fields: &[], others: Some((2, Form::One(&PATH_ITEM))), extensions: Some(1) };

static PATH_ITEM: Message = Message {
    fields: &[
        ("get", 2, Form::One(&OPERATION)),
        ("put", 3, Form::One(&OPERATION)),
        ("post", 4, Form::One(&OPERATION)),
        ("delete", 5, Form::One(&OPERATION)),
        ("patch", 8, Form::One(&OPERATION)),
        ("parameters", 9, Form::Each(&Form::Parameter)),
    ],
    others: None,
    extensions: Some(10),
};

static OPERATION: Message = Message {
    fields: &[
        ("tags", 1, Form::Each(&Form::Text)),
        ("description", 3, Form::Text),
        ("operationId", 5, Form::Text),
        ("produces", 6, Form::Each(&Form::Text)),
        ("consumes", 7, Form::Each(&Form::Text)),
        ("parameters", 8, Form::Each(&Form::Parameter)),
        ("responses", 9, Form::One(&RESPONSES)),
        ("schemes", 10, Form::Each(&Form::Text)),
    ],
    others: None,
    extensions: Some(13),
};

static RESPONSES: Message =
    Message { fields: &[], others: Some((1, Form::Within(1, &Form::One(&RESPONSE)))), extensions: Some(2) };

static RESPONSE: Message = Message {
    fields: &[("description", 1, Form::Text), ("schema", 2, Form::Within(1, &Form::One(&SCHEMA)))],
    others: None,
    extensions: Some(5),
};

static BODY_PARAMETER: Message = Message {
    fields: &[
        ("description", 1, Form::Text),
        ("name", 2, Form::Text),
        ("in", 3, Form::Text),
        ("required", 4, Form::Flag),
        ("schema", 5, Form::One(&SCHEMA)),
    ],
    others: None,
    extensions: Some(6),
};

static QUERY_PARAMETER: Message = Message {
    fields: &[
        ("required", 1, Form::Flag),
        ("in", 2, Form::Text),
        ("description", 3, Form::Text),
        ("name", 4, Form::Text),
        ("type", 6, Form::Text),
        ("uniqueItems", 20, Form::Flag),
    ],
    others: None,
    extensions: Some(23),
};

static PATH_PARAMETER: Message = Message {
    fields: &[
        ("required", 1, Form::Flag),
        ("in", 2, Form::Text),
        ("description", 3, Form::Text),
        ("name", 4, Form::Text),
        ("type", 5, Form::Text),
        ("uniqueItems", 19, Form::Flag),
    ],
    others: None,
    extensions: Some(22),
};

// A parameter is within a parameter item, and there of the body or not.
pub(super) static IN_BODY: Form = Form::Within(1, &Form::Within(1, &Form::One(&BODY_PARAMETER)));
pub(super) static IN_QUERY: Form =
    Form::Within(1, &Form::Within(2, &Form::Within(3, &Form::One(&QUERY_PARAMETER))));
pub(super) static IN_PATH: Form =
    Form::Within(1, &Form::Within(2, &Form::Within(4, &Form::One(&PATH_PARAMETER))));

static NAMED_SCHEMAS: Message =
    Message { fields: &[], others: Some((1, Form::One(&SCHEMA))), extensions: None };

static SCHEMA: Message = Message {
    fields: &[
        ("$ref", 1, Form::Text),
        ("format", 2, Form::Text),
        ("description", 4, Form::Text),
        ("default", 5, Form::Any),
        ("required", 19, Form::Each(&Form::Text)),
        ("enum", 20, Form::Each(&Form::Any)),
        ("additionalProperties", 21, Form::Within(1, &Form::One(&SCHEMA))),
        ("type", 22, Form::Within(1, &Form::Text)),
        ("items", 23, Form::Within(1, &Form::One(&SCHEMA))),
        ("properties", 25, Form::One(&NAMED_SCHEMAS)),
    ],
    others: None,
    extensions: Some(31),
};

static SECURITY_REQUIREMENT: Message =
    Message { fields: &[], others: Some((1, Form::Within(1, &Form::Each(&Form::Text)))), extensions: None };

static SECURITY_DEFINITIONS: Message =
    Message { fields: &[], others: Some((1, Form::Within(2, &Form::One(&API_KEY)))), extensions: None };

static API_KEY: Message = Message {
    fields: &[
        ("type", 1, Form::Text),
        ("name", 2, Form::Text),
        ("in", 3, Form::Text),
        ("description", 4, Form::Text),
    ],
    others: None,
    extensions: Some(5),
};
