/// The log of what happens, to standard error.
pub(super) fn start(level: log::LevelFilter) {
    // `off` and `error`: they say what strangers do, as often as they do it; the access log and the metrics have it.
    let default = format!(
        "{level},pingora=warn,pingora_core=warn,pingora_core::apps=off,pingora_core::connectors=off,pingora_proxy=warn,pingora_proxy::proxy_h1=error"
    );
    let environment = env_logger::Env::new().filter_or("RUST_LOG", default);
    // A second call in one process (tests) keeps the first.
    let _ = env_logger::Builder::from_env(environment)
        .format_timestamp_millis()
        .try_init();
}
