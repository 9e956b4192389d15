//! What a directive says, whatever stands around it.

use breakwater_edge_cache::{Qualified, RequestDirectives, ResponseDirectives, parse_age};
use proptest::prelude::*;

#[test]
fn a_directive_about_very_many_fields_is_about_all() {
    let private = |count: usize| {
        let names: Vec<_> = (0..count).map(|at| format!("x-{at}")).collect();
        let fields = [("cache-control", format!("private=\"{}\"", names.join(",")))];
        ResponseDirectives::of(&fields).private
    };
    assert_eq!(private(64).names().len(), 64);
    assert_eq!(private(65), Qualified::Whole);
}

proptest! {
    #[test]
    fn no_field_makes_a_parser_panic(value in prop::collection::vec(any::<u8>(), 0..80)) {
        let fields = [("cache-control", value.clone()), ("cdn-cache-control", value.clone()), ("age", value)];
        let _ = ResponseDirectives::of(&fields);
        let _ = ResponseDirectives::of_cdn(&fields);
        let _ = RequestDirectives::of(&fields);
        let _ = parse_age(&fields);
    }

    /// However a directive is wrapped, `no-store` is never lost behind text that isn't quoted.
    #[test]
    fn no_store_is_found_in_any_list(before in "[a-z=0-9 ,]{0,30}", after in "[a-z=0-9 ,\"]{0,30}") {
        let fields = [("cache-control", format!("{before}, No-Store ,{after}"))];
        prop_assert!(ResponseDirectives::of(&fields).no_store);
    }

    /// A quote that is opened and never closed hides nothing.
    #[test]
    fn no_store_is_found_behind_an_open_quote(before in "[a-z=0-9 ,]{0,10}\"[a-z=0-9 ,]{0,10}") {
        let fields = [("cache-control", format!("{before}, no-store"))];
        prop_assert!(ResponseDirectives::of(&fields).no_store);
    }

    #[test]
    fn delta_seconds_are_those_written(secs in any::<u64>()) {
        let fields = [("cache-control", format!("max-age={secs}"))];
        prop_assert_eq!(ResponseDirectives::of(&fields).max_age, Some(secs.min(1 << 31)));
    }
}
