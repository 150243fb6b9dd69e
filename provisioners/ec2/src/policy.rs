//! The IAM policy that is enough for all of this, and for nothing else.

use serde_json::{Value, json};

/// The policy. What it lets change or remove is what carries our tags; what it lets make has to carry them.
pub fn policy() -> Value {
    let any = |kind: &str| format!("arn:*:ec2:*:*:{kind}/*");
    let tagged = json!({ "Null": { "aws:RequestTag/machine:store": "false" } });
    let ours = json!({ "Null": { "aws:ResourceTag/machine:store": "false" } });
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "Look",
                "Effect": "Allow",
                "Action": [
                    "ec2:DescribeImages",
                    "ec2:DescribeInstanceTypeOfferings",
                    "ec2:DescribeInstanceTypes",
                    "ec2:DescribeInstances",
                    "ec2:DescribeKeyPairs",
                    "ec2:DescribeRegions",
                    "ec2:DescribeSecurityGroups",
                    "ec2:DescribeSubnets",
                    "ec2:DescribeVolumes",
                    "ec2:DescribeVpcs",
                    "sts:DecodeAuthorizationMessage",
                    "sts:GetCallerIdentity"
                ],
                "Resource": "*"
            },
            {
                "Sid": "FindImages",
                "Effect": "Allow",
                "Action": "ssm:GetParameters",
                "Resource": "arn:*:ssm:*:*:parameter/aws/service/*"
            },
            {
                "Sid": "MakeWithTags",
                "Effect": "Allow",
                "Action": ["ec2:CreateSecurityGroup", "ec2:ImportKeyPair", "ec2:RunInstances"],
                "Resource": [
                    any("instance"), any("key-pair"), any("network-interface"), any("security-group"),
                    any("spot-instances-request"), any("volume")
                ],
                "Condition": tagged
            },
            {
                "Sid": "MakeGroupsInNetworks",
                "Effect": "Allow",
                "Action": "ec2:CreateSecurityGroup",
                "Resource": any("vpc")
            },
            {
                "Sid": "LaunchFromWhatIsThere",
                "Effect": "Allow",
                "Action": "ec2:RunInstances",
                "Resource": [
                    any("image"), any("key-pair"), any("placement-group"), any("security-group"), any("snapshot"), any("subnet")
                ]
            },
            {
                "Sid": "TagWhatIsMade",
                "Effect": "Allow",
                "Action": "ec2:CreateTags",
                "Resource": any("*"),
                "Condition": {
                    "StringEquals": { "ec2:CreateAction": ["CreateSecurityGroup", "ImportKeyPair", "RunInstances"] }
                }
            },
            {
                "Sid": "ChangeAndRemoveOurs",
                "Effect": "Allow",
                "Action": [
                    "ec2:AuthorizeSecurityGroupIngress",
                    "ec2:CreateTags",
                    "ec2:DeleteKeyPair",
                    "ec2:DeleteSecurityGroup",
                    "ec2:DeleteVolume",
                    "ec2:ModifyInstanceAttribute",
                    "ec2:RevokeSecurityGroupIngress",
                    "ec2:StartInstances",
                    "ec2:StopInstances",
                    "ec2:TerminateInstances"
                ],
                "Resource": "*",
                "Condition": ours
            }
        ]
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The actions that a file of ours names in its calls.
    fn called(source: &str) -> BTreeSet<&str> {
        let verbs = [
            "Authorize",
            "Create",
            "Decode",
            "Delete",
            "Describe",
            "Get",
            "Import",
            "Modify",
            "Revoke",
            "Run",
            "Start",
            "Stop",
            "Terminate",
        ];
        let code = source.split("#[cfg(test)]").next().unwrap();
        code.split('"')
            .skip(1)
            .step_by(2)
            .filter(|word| verbs.iter().any(|verb| word.starts_with(verb)))
            .filter(|word| word.chars().all(char::is_alphanumeric))
            // Elements of answers.
            .filter(|word| !word.ends_with("Result") && *word != "DecodedMessage")
            .collect()
    }

    #[test]
    fn the_policy_allows_every_call_that_is_made_and_no_other() {
        let mut made = called(include_str!("calls.rs"));
        made.extend(called(include_str!("client.rs")));
        let text = policy().to_string();
        let allowed: BTreeSet<_> = text
            .split('"')
            .filter_map(|word| word.strip_prefix("ec2:").or(word.strip_prefix("sts:")).or(word.strip_prefix("ssm:")))
            .filter(|word| *word != "CreateAction")
            .collect();
        assert_eq!(made, allowed);
    }

    #[test]
    fn what_is_made_has_to_carry_our_tags() {
        let policy = policy();
        let names = |value: &Value| match value {
            Value::String(one) => vec![one.clone()],
            many => many.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect(),
        };
        for (action, made) in
            [("CreateSecurityGroup", "security-group"), ("ImportKeyPair", "key-pair"), ("RunInstances", "instance")]
        {
            for statement in policy["Statement"].as_array().unwrap() {
                let allows = names(&statement["Action"]).contains(&format!("ec2:{action}"))
                    && names(&statement["Resource"]).contains(&format!("arn:*:ec2:*:*:{made}/*"));
                assert!(!allows || !statement["Condition"].is_null(), "{action} without tags: {statement}");
            }
        }
    }

    #[test]
    fn the_policy_is_this_text() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&policy()).unwrap());
    }
}
