//! Kafka messages: frames, headers, generated requests and responses, and the table of API keys.
