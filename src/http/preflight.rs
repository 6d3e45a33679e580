use tiny_http::{Request, Response};

use super::front::{Answer, header_of, with_header};
use super::routes::ALLOWED;

/// The answer to OPTIONS: what a page of another origin may ask for.
pub(super) fn preflight(request: &Request, cors: bool) -> Answer {
    let mut response = with_header(Response::from_data(Vec::new()).with_status_code(204), "Allow", ALLOWED);
    if cors {
        response = with_header(response, "Access-Control-Allow-Methods", ALLOWED);
        response = with_header(response, "Access-Control-Max-Age", "86400");
        if let Some(asked) = header_of(request, "Access-Control-Request-Headers") {
            response = with_header(response, "Access-Control-Allow-Headers", asked);
        }
        if header_of(request, "Access-Control-Request-Private-Network") == Some("true") {
            response = with_header(response, "Access-Control-Allow-Private-Network", "true");
        }
    }
    response
}
