use proptest::prelude::*;

use super::super::*;
use super::read;
use crate::spec::{Span, UpstreamSpec, broken_rules_of_upstream};

/// A taken group is one that a store gives back as it was; whether its rules hold is asked elsewhere.
fn survives_the_store(upstream: &UpstreamSpec) -> bool {
    let text = serde_json::to_string(upstream).unwrap();
    let _ = broken_rules_of_upstream(upstream);
    serde_json::from_str::<UpstreamSpec>(&text).unwrap() == *upstream
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_written_reads_as_the_same_block(wanted in directives()) {
        let text = wanted.iter().map(|line| format!("{line};")).collect::<Vec<_>>().join(" # {\n");
        let block = read(&text);
        let found = |block: &UpstreamBlock| block.directives().iter().map(|line| line.it.clone()).collect::<Vec<_>>();
        prop_assert_eq!(&found(&block), &wanted, "{}", text);
        prop_assert_eq!(&found(&read(&block.to_string())), &wanted, "{}", block);
        prop_assert!(survives_the_store(&block.taken().upstream));
    }

    #[test]
    fn any_text_is_a_block_or_an_error_of_one_line(text in any::<String>()) {
        if let Err(error) = UpstreamBlock::parse(&text) {
            prop_assert!(!error.to_string().contains(char::is_control));
        }
    }

    #[test]
    fn any_text_of_words_is_a_block_or_an_error_of_one_line(
        words in prop::collection::vec(prop_oneof![
            prop::sample::select(vec!["server", "10.0.0.1", "10.0.0.2:80", "weight=2", "backup", "down", "check", "type=http", "keepalive", "5", "5s", ";", ";", ";", "\n", "{", "}", "\"", "'", "#", "\\", "$", "ip_hash", "random", "two", "zone", "a"]).prop_map(str::to_owned),
            word(),
        ], 0..20)
    ) {
        match UpstreamBlock::parse(&words.join(" ")) {
            Ok(block) => prop_assert!(survives_the_store(&block.taken().upstream)),
            Err(error) => prop_assert!(!error.to_string().contains(char::is_control)),
        }
    }
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{1,8}",
        "[a-z0-9.:=${}'\"\\\\#; \n\r\t]{1,12}",
        any::<String>().prop_filter("not empty", |word| !word.is_empty())
    ]
}

fn time() -> impl Strategy<Value = Span> {
    (0..315_360_000_000_u64).prop_map(Span::from_millis)
}

fn server() -> impl Strategy<Value = Directive> {
    let numbers = (1..u32::MAX, any::<u32>(), any::<u32>(), time(), time());
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let names = (prop::option::of(word()), prop::option::of(word()));
    let address = prop_oneof![word(), "10\\.0\\.0\\.[1-9]:80"];
    (address, numbers, flags, names).prop_map(|(address, numbers, flags, names)| {
        let (weight, max_conns, max_fails, fail_timeout, slow_start) = numbers;
        let (backup, down, drain, resolve) = flags;
        let (service, route) = names;
        Directive::Server(ServerLine {
            address,
            weight,
            max_conns,
            max_fails,
            fail_timeout,
            slow_start,
            backup,
            down,
            drain,
            resolve,
            service,
            route,
        })
    })
}

fn check() -> impl Strategy<Value = Directive> {
    use CheckKind::{Ajp, Fastcgi, Http, Mysql, SslHello, Tcp};
    let kind = prop::sample::select(vec![Ajp, Fastcgi, Http, Mysql, SslHello, Tcp]);
    let number = 1..u32::MAX;
    (
        number.clone(),
        number.clone(),
        number.clone(),
        number,
        any::<bool>(),
        kind,
        any::<u16>(),
    )
        .prop_map(
            |(interval, timeout, fall, rise, default_down, kind, port)| {
                Directive::Check(Check {
                    interval,
                    timeout,
                    fall,
                    rise,
                    default_down,
                    kind,
                    port,
                })
            },
        )
}

fn balance() -> impl Strategy<Value = Directive> {
    let better = [
        Better::LeastConn,
        Better::LeastTimeHeader,
        Better::LeastTimeLastByte,
    ];
    prop_oneof![
        Just(Balance::IpHash),
        Just(Balance::LeastConn),
        prop::collection::vec(word(), 1..3).prop_map(Balance::LeastTime),
        prop::option::of(prop::sample::select(better.to_vec())).prop_map(Balance::Random),
        (word(), any::<bool>()).prop_map(|(key, consistent)| Balance::Hash { key, consistent }),
    ]
    .prop_map(Directive::Balance)
}

fn settings() -> impl Strategy<Value = Vec<Directive>> {
    let class = (1..=5_u8).prop_map(|class| StatusClass::new(class).unwrap());
    let each = (
        prop::option::of(any::<u32>().prop_map(Directive::Keepalive)),
        prop::option::of(time().prop_map(Directive::KeepaliveTimeout)),
        prop::option::of((1..u32::MAX).prop_map(Directive::KeepaliveRequests)),
        prop::option::of(time().prop_map(Directive::KeepaliveTime)),
        prop::option::of(
            (word(), prop::option::of(any::<u64>()))
                .prop_map(|(name, size)| Directive::Zone(name, size)),
        ),
        prop::option::of(check()),
        prop::option::of(word().prop_map(Directive::CheckHttpSend)),
        prop::option::of(
            prop::collection::vec(class, 1..6).prop_map(Directive::CheckHttpExpectAlive),
        ),
        prop::option::of((1..u32::MAX).prop_map(Directive::CheckKeepaliveRequests)),
        prop::option::of(
            prop::collection::vec(word(), 0..4)
                .prop_map(|words| Directive::Other("sticky".into(), words)),
        ),
    );
    each.prop_map(|(a, b, c, d, e, f, g, h, i, j)| {
        [a, b, c, d, e, f, g, h, i, j]
            .into_iter()
            .flatten()
            .collect()
    })
}

fn directives() -> impl Strategy<Value = Vec<Directive>> {
    let first = Just(Directive::Server(ServerLine::new("10.0.0.10")));
    let lines = prop::collection::vec(prop_oneof![3 => server(), 1 => balance()], 0..6);
    (first, lines, settings())
        .prop_map(|(first, lines, settings)| [vec![first], lines, settings].concat())
        .prop_shuffle()
}
