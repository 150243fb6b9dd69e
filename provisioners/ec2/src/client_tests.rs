//! The client against a server that answers as AWS does, and as it does not.

use std::time::Duration;

use wiremock::matchers::{body_string_contains, header, header_regex, method};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::calls::Service;
use crate::client::{AwsClient, Place};
use crate::cloud::{CallError, Cloud as _};
use crate::connector::Http;
use crate::credentials::Keys;
use crate::pace::Pace;

fn client(server: &MockServer) -> AwsClient {
    let pace = Pace { attempts: 3, first: Duration::from_millis(1), longest: Duration::from_millis(2) };
    let keys = Keys { access: "AKIDEXAMPLE".into(), secret: "secret".into(), token: Some("session".into()) };
    let place =
        Place { region: "eu-central-1".into(), endpoint: Some(server.uri()), profile: None, keys: Some(keys), pace };
    AwsClient::new(Http::new().unwrap(), place)
}

async fn answers(server: &MockServer, action: &str, times: u64, answer: ResponseTemplate) {
    let mock = Mock::given(method("POST")).and(body_string_contains(format!("Action={action}&")));
    mock.respond_with(answer).up_to_n_times(times).mount(server).await;
}

fn fault(code: &str, message: &str) -> String {
    format!("<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors></Response>")
}

const NO_VPCS: &str = "<DescribeVpcsResponse><vpcSet/></DescribeVpcsResponse>";

async fn vpcs(server: &MockServer) -> Result<usize, CallError> {
    client(server).vpcs(&[]).await.map(|found| found.len())
}

async fn asked(server: &MockServer) -> usize {
    server.received_requests().await.unwrap().len()
}

#[tokio::test]
async fn a_call_is_signed_for_its_region_and_service_with_the_session_of_the_credentials() {
    let server = MockServer::start().await;
    Mock::given(header_regex(
        "authorization",
        "^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/[0-9]{8}/eu-central-1/ec2/aws4_request, ",
    ))
    .and(header("x-amz-security-token", "session"))
    .and(body_string_contains("Action=DescribeVpcs&Version=2016-11-15&MaxResults=1000"))
    .respond_with(ResponseTemplate::new(200).set_body_string(NO_VPCS))
    .mount(&server)
    .await;
    assert_eq!(vpcs(&server).await.unwrap(), 0);
}

#[tokio::test]
async fn throttling_and_server_errors_are_repeated_up_to_a_bound_and_refusals_are_not() {
    let server = MockServer::start().await;
    answers(
        &server,
        "DescribeVpcs",
        1,
        ResponseTemplate::new(503).set_body_string(fault("RequestLimitExceeded", "slow")),
    )
    .await;
    answers(&server, "DescribeVpcs", 1, ResponseTemplate::new(500).set_body_string("<html>bad gateway</html>")).await;
    answers(&server, "DescribeVpcs", 1, ResponseTemplate::new(200).set_body_string(NO_VPCS)).await;
    assert_eq!((vpcs(&server).await.unwrap(), asked(&server).await), (0, 3));

    server.reset().await;
    answers(&server, "DescribeVpcs", 9, ResponseTemplate::new(400).set_body_string(fault("Throttling", "slow"))).await;
    let error = vpcs(&server).await.unwrap_err();
    assert_eq!((error.code.as_str(), asked(&server).await), ("Throttling", 3));

    server.reset().await;
    answers(&server, "DescribeVpcs", 9, ResponseTemplate::new(400).set_body_string(fault("OptInRequired", "no"))).await;
    let error = vpcs(&server).await.unwrap_err();
    assert_eq!((error.code.as_str(), asked(&server).await), ("OptInRequired", 1));
}

#[tokio::test]
async fn what_was_just_made_is_waited_for_and_what_was_not_is_not() {
    let server = MockServer::start().await;
    let unknown = || ResponseTemplate::new(400).set_body_string(fault("InvalidGroup.NotFound", "no such group"));
    answers(&server, "AuthorizeSecurityGroupIngress", 2, unknown()).await;
    answers(&server, "AuthorizeSecurityGroupIngress", 1, ResponseTemplate::new(200).set_body_string("<r/>")).await;
    client(&server).authorize("sg-1", &[]).await.unwrap();
    answers(&server, "DeleteSecurityGroup", 9, unknown()).await;
    assert!(client(&server).delete_group("sg-1").await.unwrap_err().is_not_found());
    assert_eq!(asked(&server).await, 4);
}

#[tokio::test]
async fn all_pages_of_a_listing_are_read() {
    let server = MockServer::start().await;
    let page = |id: &str, next: &str| {
        let text = format!("<r><vpcSet><item><vpcId>{id}</vpcId></item></vpcSet>{next}</r>");
        ResponseTemplate::new(200).set_body_string(text)
    };
    Mock::given(body_string_contains("NextToken=two")).respond_with(page("vpc-2", "")).mount(&server).await;
    answers(&server, "DescribeVpcs", 1, page("vpc-1", "<nextToken>two</nextToken>")).await;
    let ids: Vec<_> = client(&server).vpcs(&[]).await.unwrap().into_iter().map(|vpc| vpc.id).collect();
    assert_eq!(ids, ["vpc-1", "vpc-2"]);
}

#[tokio::test]
async fn a_refusal_is_decoded_where_that_is_allowed_and_told_as_it_is_where_not() {
    let server = MockServer::start().await;
    let message = "You are not authorized to perform this operation. Encoded authorization failure message: abc123";
    answers(
        &server,
        "DescribeVpcs",
        9,
        ResponseTemplate::new(403).set_body_string(fault("UnauthorizedOperation", message)),
    )
    .await;
    let error = vpcs(&server).await.unwrap_err().error.to_string();
    assert!(
        error.contains("You are not authorized to perform this operation.") && !error.contains("abc123"),
        "{error}"
    );

    let decoded = "{&quot;explicitDeny&quot;:false,&quot;context&quot;:{&quot;action&quot;:&quot;ec2:DescribeVpcs&quot;,&quot;resource&quot;:&quot;*&quot;}}";
    let answer = format!(
        "<DecodeAuthorizationMessageResponse><DecodeAuthorizationMessageResult><DecodedMessage>{decoded}</DecodedMessage>\
         </DecodeAuthorizationMessageResult></DecodeAuthorizationMessageResponse>"
    );
    answers(&server, "DecodeAuthorizationMessage", 9, ResponseTemplate::new(200).set_body_string(answer)).await;
    let error = vpcs(&server).await.unwrap_err().error.to_string();
    assert!(error.contains("ec2:DescribeVpcs on *: no policy allows it"), "{error}");
}

#[tokio::test]
async fn a_clock_that_is_off_is_seen_by_the_servers_own() {
    let server = MockServer::start().await;
    let refused = ResponseTemplate::new(403)
        .set_body_string(fault("SignatureDoesNotMatch", "Signature expired"))
        .insert_header("date", "Wed, 01 Jan 2020 00:00:00 GMT");
    answers(&server, "DescribeVpcs", 9, refused).await;
    let error = vpcs(&server).await.unwrap_err().error.to_string();
    assert!(error.contains("this computer's clock is") && error.contains("ahead of Amazon's"), "{error}");
}

#[tokio::test]
async fn a_dry_run_that_would_succeed_does_and_one_that_would_not_does_not() {
    let server = MockServer::start().await;
    let launch = crate::cloud::Launch(crate::query::Query::new());
    answers(
        &server,
        "RunInstances",
        1,
        ResponseTemplate::new(412).set_body_string(fault("DryRunOperation", "would have")),
    )
    .await;
    assert!(client(&server).run(&launch, true).await.unwrap().is_empty());
    answers(&server, "RunInstances", 1, ResponseTemplate::new(412).set_body_string(fault("DryRunOperation", "?")))
        .await;
    client(&server).run(&launch, false).await.unwrap_err();
}

#[tokio::test]
async fn parameters_are_asked_for_in_json_and_those_that_do_not_exist_are_left_out() {
    let server = MockServer::start().await;
    Mock::given(header("x-amz-target", "AmazonSSM.GetParameters"))
        .and(header_regex("authorization", "/eu-central-1/ssm/aws4_request"))
        .respond_with(ResponseTemplate::new(200).set_body_string(
            r#"{"Parameters":[{"Name":"/a","Value":"ami-1"},{"Name":"/b"},7],"InvalidParameters":["/c"]}"#,
        ))
        .mount(&server)
        .await;
    let found = client(&server).parameters(&["/a".into(), "/b".into(), "/c".into()]).await.unwrap();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [("/a".to_owned(), "ami-1".to_owned())]);
}

#[tokio::test]
async fn an_answer_that_is_none_says_from_where() {
    let server = MockServer::start().await;
    answers(
        &server,
        "DescribeVpcs",
        9,
        ResponseTemplate::new(200).set_body_string("<html><p>Sign in to the hotel's network"),
    )
    .await;
    let error = vpcs(&server).await.unwrap_err().error.to_string();
    assert!(error.contains("DescribeVpcs of http://127.0.0.1") && error.contains("not the XML"), "{error}");
    let uri = format!("http://{}", std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let gone = Place {
        region: "r".into(),
        endpoint: Some(uri),
        profile: None,
        keys: Some(Keys { access: "a".into(), secret: "b".into(), token: None }),
        pace: Pace { attempts: 2, first: Duration::ZERO, longest: Duration::ZERO },
    };
    let error = AwsClient::new(Http::new().unwrap(), gone).vpcs(&[]).await.unwrap_err();
    assert!(
        error.code.is_empty() && error.error.to_string().contains("does not answer to DescribeVpcs"),
        "{}",
        error.error
    );
}

#[test]
fn each_service_is_called_where_it_is() {
    let url = |region: &str, endpoint: Option<&str>, service| {
        let place = Place {
            region: region.into(),
            endpoint: endpoint.map(str::to_owned),
            profile: None,
            keys: None,
            pace: Pace::default(),
        };
        AwsClient::new(Http::new().unwrap(), place).url(service)
    };
    assert_eq!(url("eu-west-1", None, Service::Ec2), "https://ec2.eu-west-1.amazonaws.com/");
    assert_eq!(url("cn-north-1", None, Service::Sts), "https://sts.cn-north-1.amazonaws.com.cn/");
    assert_eq!(url("eusc-de-east-1", None, Service::Ec2), "https://ec2.eusc-de-east-1.amazonaws.eu/");
    // A VPC endpoint of EC2 knows neither STS nor SSM; a compatible cloud has them beside it.
    let own = Some("https://vpce-1-2.ec2.eu-west-1.vpce.amazonaws.com");
    assert_eq!(url("eu-west-1", own, Service::Ec2), "https://vpce-1-2.ec2.eu-west-1.vpce.amazonaws.com/");
    assert_eq!(url("eu-west-1", own, Service::Sts), "https://sts.eu-west-1.amazonaws.com/");
    assert_eq!(url("eu-west-1", Some("https://cloud.example"), Service::Sts), "https://cloud.example/");
}
