use breakwater_crds::{LabelExpression, LabelOperator, LabelSelector, SiteSelector};

use crate::object::Labels;

/// Whether a site with these labels, in a namespace with those, is selected. Both must match where both are
/// given.
pub(crate) fn selects(selector: &SiteSelector, site: &Labels, namespace: &Labels) -> bool {
    let given =
        |selector: &Option<LabelSelector>, labels| selector.as_ref().is_none_or(|s| matches(s, labels));
    given(&selector.sites, site) && given(&selector.namespaces, namespace)
}

fn matches(selector: &LabelSelector, labels: &Labels) -> bool {
    selector
        .match_labels
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
        && selector
            .match_expressions
            .iter()
            .all(|expression| holds(expression, labels))
}

fn holds(expression: &LabelExpression, labels: &Labels) -> bool {
    let value = labels.get(&expression.key);
    match expression.operator {
        LabelOperator::In => value.is_some_and(|value| expression.values.contains(value)),
        LabelOperator::NotIn => value.is_none_or(|value| !expression.values.contains(value)),
        LabelOperator::Exists => value.is_some(),
        LabelOperator::DoesNotExist => value.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_those_of_kubernetes() {
        let labels = Labels::from([("tier".to_owned(), "gold".to_owned())]);
        let expression = |key: &str, operator, values: &[&str]| LabelExpression {
            key: key.to_owned(),
            operator,
            values: values.iter().map(|v| (*v).to_owned()).collect(),
        };
        for (expression, expected) in [
            (expression("tier", LabelOperator::In, &["gold", "silver"]), true),
            (expression("tier", LabelOperator::In, &["silver"]), false),
            (expression("none", LabelOperator::In, &["gold"]), false),
            (expression("tier", LabelOperator::NotIn, &["gold"]), false),
            (expression("none", LabelOperator::NotIn, &["gold"]), true),
            (expression("tier", LabelOperator::Exists, &[]), true),
            (expression("none", LabelOperator::DoesNotExist, &[]), true),
            (expression("tier", LabelOperator::DoesNotExist, &[]), false),
        ] {
            assert_eq!(holds(&expression, &labels), expected, "{expression:?}");
        }
    }
}
