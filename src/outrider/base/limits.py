"""Every hard limit of the system, in one place.

A name ends in its unit; a comment names the source of the number. Nothing here is configurable:
a limit an operator may move lives in its floor's `settings.py`, bounded by one of these.
"""

from typing import Final

# -- SMTP client: how long a peer may stay silent, and how much it may say.
GREETING_WAIT_S: Final = 300.0  # First 220. RFC 5321 §4.5.3.2.1.
COMMAND_WAIT_S: Final = 300.0  # Reply to MAIL, RCPT. RFC 5321 §4.5.3.2.2, §4.5.3.2.3.
DATA_START_WAIT_S: Final = 120.0  # Reply to DATA. RFC 5321 §4.5.3.2.4.
DATA_BLOCK_WAIT_S: Final = 180.0  # One write of the body. RFC 5321 §4.5.3.2.5.
DATA_END_WAIT_S: Final = 600.0  # Reply to the final dot. RFC 5321 §4.5.3.2.6; less duplicates mail.
TLS_HANDSHAKE_WAIT_S: Final = 60.0  # Ours: a handshake is two round trips and one signature.
QUIT_WAIT_S: Final = 5.0  # Ours: nothing depends on the reply to QUIT.
HOST_TRIES_COUNT_MAX: Final = 5  # Addresses tried in one attempt. Ours; Postfix smtp_mx_address_limit says 5.
REPLY_LINE_BYTES_MAX: Final = 4096  # Ours: RFC 5321 §4.5.3.1.5 says 512, some send more; past this, an attack.
REPLY_LINES_MAX: Final = 128  # Ours: a longer reply is an attack, not an answer.

# -- Addresses and headers.
LOCAL_PART_BYTES_MAX: Final = 64  # RFC 5321 §4.5.3.1.1.
ADDRESS_BYTES_MAX: Final = 254  # RFC 5321 §4.5.3.1.3 less the angle brackets; erratum 1690 to RFC 3696.
LABEL_BYTES_MAX: Final = 63  # RFC 1035 §2.3.4.
DOMAIN_NAME_CHARS_MAX: Final = 253  # As text: the 255 octets of RFC 1035 §2.3.4 less first length and root.
LINE_BYTES_MAX: Final = 998  # Without CRLF. RFC 5322 §2.1.1.
LINE_FOLD_BYTES: Final = 78  # Without CRLF, advised. RFC 5322 §2.1.1.
ENCODED_WORD_CHARS_MAX: Final = 75  # RFC 2047 §2.
DKIM_RSA_BITS_MIN: Final = 1024  # RFC 8301 §3.2.
DKIM_RSA_BITS_MAX: Final = 4096  # RFC 8301 §3.2: longer ones a verifier need not take.
DKIM_SIGNATURES_COUNT_MAX: Final = 10  # Ours: signatures of one message we look at; each costs a look-up and a proof.

# -- What one accepted call may hold.
RECIPIENTS_PER_CALL_COUNT_MAX: Final = 100  # shared/uspeedo.md 1.3.
SUBJECT_CHARS_MAX: Final = 200  # shared/uspeedo.md 1.3.
FROM_NAME_CHARS_MAX: Final = 200  # Ours: a display name over the subject's limit is an abuse.
CONTENT_BYTES_MAX: Final = 10 * 1024 * 1024  # Ours: Gmail refuses over 25 MB, most over 10; uSpeedo states none.
ATTACHMENTS_COUNT_MAX: Final = 50  # Ours: as many as anybody sees in a mail.
ATTACHMENTS_BYTES_MAX: Final = 18 * 1024 * 1024  # Ours: Gmail refuses mail over 25 MB, and base64 adds a third.
ATTACHMENT_NAME_CHARS_MAX: Final = 255  # Ours: file systems allow as many bytes.
HEADERS_COUNT_MAX: Final = 50  # Ours: further fields of a caller.
HEADER_VALUE_CHARS_MAX: Final = 4000  # Ours: a References field of a long thread.
REPLY_TO_COUNT_MAX: Final = 10  # Ours: a header that a reader can take in.
TAGS_COUNT_MAX: Final = 20  # Ours: Postmark has one, Mailgun 10.
TAG_CHARS_MAX: Final = 100  # Ours: as Postmark's 1,000 and Mailgun's 128: a word, not a text.
METADATA_COUNT_MAX: Final = 50  # Ours: Postmark allows 10.
METADATA_NAME_CHARS_MAX: Final = 50  # Ours: Postmark allows 20.
METADATA_VALUE_CHARS_MAX: Final = 500  # Ours: Postmark allows 80.
SEND_LATER_S_MAX: Final = 30 * 86400.0  # Ours: Mailgun allows 3 to 7 days, SendGrid 3, Resend 30.
EXPIRES_S_MIN: Final = 60.0  # Ours: a shorter life may end before the first attempt does.
PERSONAL_BYTES_MAX: Final = 64 * 1024  # Ours: one recipient's variables; 100 of them are half of what a call may hold.
RENDER_CALL_S_MAX: Final = 2.0  # Ours: of one call's mails; 100 of 5 KB take 4 ms.
RENDER_TURN_S_MAX: Final = 0.003  # Ours: so long other callers of the process wait at most, and for one mail more.
PREHEADER_CHARS_MAX: Final = 500  # Ours: readers show some 100.
REQUEST_SMALL_BYTES_MAX: Final = 1024 * 1024  # Ours: a body up to this waits for no place in memory.
REQUESTS_LARGE_COUNT_MAX: Final = 8  # Ours: larger ones at once in one process; each holds up to 40 MiB, twice.
REQUEST_BODY_BYTES_MAX: Final = 12 * 1024 * 1024  # Ours: `CONTENT_BYTES_MAX` escaped as JSON, and the other fields.
REQUEST_FILES_BYTES_MAX: Final = 40 * 1024 * 1024  # Ours: the same, and `ATTACHMENTS_BYTES_MAX` in base64.

# -- Templates.
TEMPLATE_BYTES_MAX: Final = 512 * 1024  # Ours: one part of one version; Gmail clips mail at 100 KB.
TEMPLATE_VARIANTS_COUNT_MAX: Final = 50  # Ours: locales of one template.
LOCALE_CHARS_MAX: Final = 64  # Ours: of a language tag; RFC 5646 §4.4.1 has room for 35 in the usual ones.
TEMPLATE_TAGS_COUNT_MAX: Final = 5000  # Ours: {{ }} and {% %} of one part; a long letter has 100.
TEMPLATE_TAGS_CHARS_MAX: Final = 64 * 1024  # Ours: inside them; Jinja's parser reads that in some 0.3 s.
TEMPLATE_DEPTH_COUNT_MAX: Final = 100  # Ours: elements in each other; MRML's stack ends at some 2,000.
TEMPLATE_UNSURE_COUNT_MAX: Final = 2000  # Ours: elements that may be left open; MRML's stack takes some 9,000 of those.
TEMPLATE_ELEMENTS_COUNT_MAX: Final = 10_000  # Ours: with the depth, what mending HTML may make of them.
PARTIALS_COUNT_MAX: Final = 50  # Ours: of one template, those that its partials use as well.
PARTIALS_DEPTH_COUNT_MAX: Final = 10  # Ours: a layout's footer's line has three.
VARIABLES_CHARS_MAX: Final = 64 * 1024  # Ours: of one recipient, all values and names; also what a filter may make.
VARIABLES_COUNT_MAX: Final = 5000  # Ours: values of one recipient, all levels: an order of 500 lines.
VARIABLES_DEPTH_COUNT_MAX: Final = 10  # Ours: an order, its lines, their options.
VARIABLE_NAME_CHARS_MAX: Final = 100  # Ours: a name, not a text.
RENDER_FUEL_COUNT_MAX: Final = 50_000  # minijinja's steps for one part: 5,000 runs of a loop. Ours: some 10 ms.
RENDER_WORK_CHARS_MAX: Final = 16_000_000  # Ours: characters read by filters and loops; some 20 ms.
GMAIL_CLIP_BYTES_MAX: Final = 102 * 1024  # Of HTML. Ours: what senders see Gmail show before it clips.
RENDERED_CHARS_MAX: Final = 2 * 1024 * 1024  # Ours: one recipient's mail; twenty times what Gmail shows.

# -- The queue.
RETRY_DELAY_S_MAX: Final = 4 * 3600.0  # DESIGN.md 5.
MESSAGE_LIFE_S_MAX: Final = 7 * 86400.0  # Ours: RFC 5321 §4.5.4.1 says to give up after 4-5 days; nobody waits longer.
REPLY_TEXT_CHARS_KEPT_MAX: Final = 1000  # Ours: what we store of a peer's reply.
DOMAIN_PER_MINUTE_COUNT_MAX: Final = 1_000_000  # Ours: a domain's own rate; over what one node sends in a minute.
CAMPAIGN_CHARS_MAX: Final = 100  # Ours: its name is part of a lane's key, and read in every sentence about it.
LIST_NAME_CHARS_MAX: Final = 100  # Ours: as for campaigns.
TOPICS_STORED_COUNT_MAX: Final = 50  # Ours: of one project; more check boxes nobody reads.
TOPIC_TITLE_CHARS_MAX: Final = 100  # Ours: a line of the page.
TOPIC_DESCRIPTION_CHARS_MAX: Final = 500  # Ours: a few lines of it.
LEAVING_SAID_CHARS_MAX: Final = 500  # Ours: what a reader says while leaving; as of all evidence.
IDEMPOTENCY_KEY_CHARS_MAX: Final = 255  # draft-ietf-httpapi-idempotency-key names none; others allow 255.
IDEMPOTENCY_KEY_LIFE_S: Final = 86400.0  # Ours: Stripe's and Resend's; a retry a day later is a new wish.
BATCH_FETCHES_COUNT_MAX: Final = 200  # Ours: files by URL in one batch; 8 at a time, half a second each: 13 s.
BATCH_COUNT_MAX: Final = 1000  # Ours: mails in one call of /v1/emails/batch; Postmark allows 500, Resend 100.

# -- Templates, as they are stored.
TEMPLATES_COUNT_MAX: Final = 10_000  # Ours: of one project; a list of more is no list.
TEMPLATE_NAME_CHARS_MAX: Final = 100  # Ours: a title.
TEMPLATE_VERSIONS_COUNT_MAX: Final = 200  # Ours: kept of one template beside those that are in use.
TEMPLATE_NUMBER_COUNT_MAX: Final = 2**31 - 1  # Ours: versions ever made; PostgreSQL's integer.
TEMPLATE_DOCUMENT_CHARS_MAX: Final = 2 * 1024 * 1024  # Ours: an editor's own document; four times its HTML.
TEMPLATE_TEST_RECIPIENTS_COUNT_MAX: Final = 10  # Ours: a team.
PARTIAL_BYTES_MAX: Final = 64 * 1024  # Ours: a footer, a layout with its CSS.
PARTIALS_STORED_COUNT_MAX: Final = 200  # Ours: of one project; all are read when one of its templates is compiled.

# -- Keys.
KEYS_COUNT_MAX: Final = 1000  # Ours: of a project, not revoked; a key each for more programs than anybody runs.
KEY_PER_MINUTE_COUNT_MAX: Final = 10_000_000  # Ours: a key's own rate of calls; over what any node answers.
KEY_IP_RANGES_COUNT_MAX: Final = 100  # Ours: each is looked at with every call of the key.
KEY_DOMAINS_COUNT_MAX: Final = 100  # Ours: as for ranges.
TOKEN_LIFE_S: Final = 3600.0  # Of an access token, unless somebody says. Ours: as most tokens of OAuth.
TOKEN_LIFE_S_MIN: Final = 60.0  # Ours: a shorter one is over before it is used.
TOKEN_LIFE_S_MAX: Final = 30 * 86400.0  # Ours: what should live longer is a key.
SIGNED_CALL_S_MAX: Final = 300.0  # A signed call counts so long before and after it was made. shared/uspeedo.md 1.2.
NONCE_CHARS_MAX: Final = 32  # shared/uspeedo.md 1.2.
UNIX_S_MAX: Final = 253_402_300_799  # Ours: the last second of the year 9999; no datetime is later.
QUOTA_COUNT_MAX: Final = 10**12  # Ours: recipients a month; more than all mail of the world in a day.

# -- Proof of a mailbox by link: what somebody may make us mail to strangers.
PROOF_LIFE_S: Final = 86_400.0  # Ours: who was asked reads it today.
PROOF_AGAIN_S: Final = 3600.0  # Ours: to one mailbox; a mail that has not come by then is lost.
PROOF_OFFERED_COUNT_MAX: Final = 20  # Ours: of a project at a time; more is somebody's list.
PROOF_PAGES_A_MINUTE_COUNT_MAX: Final = 60  # Ours: of one peer and process; a person opens one.
UNSUBSCRIBE_FORM_BYTES_MAX: Final = 192 * 1024  # Ours: all topics with the longest names, twice, percent-encoded.
UNSUBSCRIBE_PAGES_A_MINUTE_COUNT_MAX: Final = 60  # Ours: of one link; a person, a scanner and a preview open it thrice.
RETURN_PATH_LIFE_S: Final = 60 * 86_400.0  # Ours: bounces come in days, complaints in weeks; laws ask it of links.

# -- HTTP, our side.
REQUEST_BODY_WAIT_S: Final = 60.0  # Ours: the largest body over 2 Mbit/s.
REQUEST_DISCARD_WAIT_S: Final = 10.0  # Ours: how long we read on for nothing so that a caller hears our answer.
FILE_FETCH_WAIT_S: Final = 20.0  # Ours: one attachment by URL; its caller is waiting.
STREAM_WRITE_WAIT_S: Final = 10.0  # Ours: who takes nothing for that long, with some MB under way, is cut off.
EVENT_STREAMS_COUNT_MAX: Final = 200  # Ours: of one process; each looks four times a second whether its key counts.
EVENT_STREAMS_OF_ONE_COUNT_MAX: Final = 20  # Ours: of one project in one process; a few machines with some each.
READY_WAIT_S: Final = 2.0  # Ours: a database that needs longer to say yes is not ready.

# -- Webhooks: what customers may make us call, and what their servers may say.
WEBHOOKS_OF_ONE_COUNT_MAX: Final = 50  # Ours: of one project; each gets every event.
WEBHOOK_URL_CHARS_MAX: Final = 2000  # Ours: as browsers take.
WEBHOOK_DESCRIPTION_CHARS_MAX: Final = 200  # Ours: a line.
WEBHOOK_TOKEN_CHARS_MAX: Final = 200  # Ours: a word in a header.
WEBHOOK_SECRET_BYTES_MIN: Final = 24  # Ours: as the spec of Standard Webhooks, "Signature scheme".
WEBHOOK_SECRET_BYTES_MAX: Final = 64  # Ours: the same.
WEBHOOK_SECRETS_COUNT_MAX: Final = 5  # Ours: that sign at the same time; one rotation and some mistakes.
WEBHOOK_OVERLAP_S_MAX: Final = 7 * 86400.0  # Ours: how long an old secret signs too; a release and a weekend.
WEBHOOK_BATCH_COUNT_MAX: Final = 100  # Ours: events in one call; some 100 KB.
WEBHOOK_BATCH_WAIT_S_MAX: Final = 60.0  # Ours: later than that is no news.
WEBHOOK_WAIT_S: Final = 15.0  # For one call, all in all. Ours: Standard Webhooks says 15 to 30.
WEBHOOK_ANSWER_BYTES_MAX: Final = 64 * 1024  # Ours: what is read of an answer; more, and the connection ends.
WEBHOOK_ANSWER_CHARS_KEPT_MAX: Final = 500  # Ours: what is kept of it, to show.
WEBHOOK_CALL_LIFE_S: Final = 3 * 86400.0  # Ours: a weekend and a day to mend it (issue 7).
WEBHOOK_RETRY_AFTER_S_MAX: Final = 3600.0  # Ours: how long a server may send us away at once.
WEBHOOK_REPLAY_COUNT_MAX: Final = 10_000  # Ours: events of one call of replay; the next one goes on.
WEBHOOK_REPLAY_IDS_COUNT_MAX: Final = 100  # Ours: events replayed by name.

# -- Alerts: what a project may have watched.
ALERTS_OF_ONE_COUNT_MAX: Final = 100  # Ours: of one project; each is looked at every few minutes.
ALERT_NAME_CHARS_MAX: Final = 100  # Ours: a line, in a subject too.
ALERT_NOTIFY_COUNT_MAX: Final = 10  # Ours: addresses that one alert is mailed to.
ALERT_MAILS_COUNT_MAX: Final = 1_000_000_000  # Ours: above what anybody sends in a week.
ALERT_WINDOW_S_MIN: Final = 300  # Ours: figures have minutes, and come a few seconds late.
ALERT_WINDOW_S_MAX: Final = 7 * 86_400  # Ours: a week; what was longer ago raises no alarm.

# -- Catch mode's SMTP receiver and mailbox.
CAUGHT_MESSAGE_BYTES_MAX: Final = 64 * 1024 * 1024  # Ours: `CONTENT_BYTES_MAX` and `ATTACHMENTS_BYTES_MAX` in base64.
CAUGHT_LINE_BYTES_MAX: Final = 64 * 1024  # Ours: catches also what RFC 5321 §4.5.3.1.6 (1000) forbids, to show it.
CAUGHT_WAIT_S: Final = 300.0  # A client's silence. RFC 5321 §4.5.3.2.7.
CAUGHT_CONVERSATIONS_COUNT_MAX: Final = 512  # Ours: over twice what all deliver processes of a machine open.
CAUGHT_HEADER_BYTES_MAX: Final = 64 * 1024  # Ours: what a list reads of each message.
CAUGHT_LIST_COUNT_MAX: Final = 500  # Ours: messages on one page.
CAUGHT_SHOWN_CHARS_MAX: Final = 512 * 1024  # Ours: text on a page; the source has the rest.
CAUGHT_FIELDS_COUNT_MAX: Final = 1000  # Ours: header fields on a page; more is an attack on it.
CAUGHT_FIELD_CHARS_MAX: Final = 4096  # Ours: a To field of 100 recipients; the source has the rest.
CAUGHT_NAME_CHARS_MAX: Final = 200  # Ours: of an attachment; file systems allow 255 bytes.
CAUGHT_PARTS_COUNT_MAX: Final = 200  # Ours: more than any program makes; the rest is not shown.
CAUGHT_BOUNDARIES_COUNT_MAX: Final = 100  # Ours: each nested multipart makes every line of it dearer.

# -- Mail that comes back: what strangers may make us do.
INBOUND_MESSAGE_BYTES_MAX: Final = 65 * 1024 * 1024  # Ours: the largest of ours (64 MiB) in a bounce; 1 MiB is kept.
INBOUND_CONVERSATIONS_COUNT_MAX: Final = 1000  # Ours: each is a descriptor and some KB.
INBOUND_CONVERSATIONS_OF_ONE_COUNT_MAX: Final = 50  # Ours: as Postfix's smtpd_client_connection_count_limit.
INBOUND_OF_ONE_A_MINUTE_COUNT_MAX: Final = 60_000  # Ours: of one address; a large provider's bounces of a campaign.
INBOUND_REPORTS_REFUSED_A_MINUTE_COUNT_MAX: Final = 20  # Ours: of one address; each of 1 MB takes 0.1 s of CPU.
INBOUND_REFUSED_COUNT_MAX: Final = 100  # Ours: of one conversation; as many as Postfix and others address at once.
INBOUND_WAIT_S: Final = 300.0  # RFC 5321 §4.5.3.2.7: a server waits five minutes for the next command.
INBOUND_HOPS_COUNT_MAX: Final = 100  # RFC 5321 §6.3: a loop is told by at least 100 Received fields.

# -- SMTP submission: what those who send through us may make us do.
SUBMISSION_RECIPIENTS_COUNT_MAX: Final = 1000  # Ours: of one transaction; RFC 5321 §4.5.3.1.8 asks for 100.
SUBMISSION_MESSAGE_BYTES_MAX: Final = 25 * 1024 * 1024  # Ours: Gmail refuses larger ones.
SUBMISSION_LINE_BYTES_MAX: Final = 12_288  # Of a command: RFC 4954 §4, for AUTH.
SUBMISSION_ERRORS_COUNT_MAX: Final = 20  # Of one conversation. Ours: as Postfix's smtpd_hard_error_limit.
SUBMISSION_IDLE_COMMANDS_COUNT_MAX: Final = 1000  # Ours: between two mails; a program that looks first sends a few.
SUBMISSION_PENDING_BYTES_MAX: Final = 64 * 1024  # Ours: what may come while we answer; then we stop reading.
SUBMISSION_CONVERSATIONS_COUNT_MAX: Final = 2000  # Ours: each takes about 50 KB with TLS.
SUBMISSION_CONVERSATIONS_OF_ONE_COUNT_MAX: Final = 500  # Ours: of one address; a relay, or an office behind one.
SUBMISSION_STRANGER_WAIT_S: Final = 60.0  # Ours: from the first octet to AUTH; a program takes one second.
SUBMISSION_COMMAND_WAIT_S: Final = 300.0  # For a whole command. RFC 5321 §4.5.3.2.7.
SUBMISSION_MESSAGE_WAIT_S: Final = 600.0  # Ours: for a whole message: 25 MiB over 350 kbit/s.
SUBMISSION_TLS_WAIT_S: Final = 15.0  # Ours: a handshake is two round trips and one signature.
SUBMISSION_SMALL_BYTES_MAX: Final = 1024 * 1024  # Ours: a message up to this waits for no place in memory.
SUBMISSION_LARGE_COUNT_MAX: Final = 8  # Ours: larger ones at once; each may take 25 MiB a few times over.
SUBMISSION_LARGE_OF_ONE_COUNT_MAX: Final = 6  # Ours: of one project; so two places are always left to others.
SUBMISSION_HOPS_COUNT_MAX: Final = 100  # RFC 5321 §6.3: a loop is told by at least 100 Received fields.
SUBMISSION_FIELDS_COUNT_MAX: Final = 1000  # Ours: header fields of one message; each is looked at.
SUBMISSION_HEADER_BYTES_MAX: Final = 512 * 1024  # Ours: a To field of 1,000 recipients with names takes 60 KB.
ENVID_CHARS_MAX: Final = 100  # RFC 3461 §4.4.
STATUS_REPORT_RETURNED_BYTES_MAX: Final = 1024 * 1024  # Ours: of a larger message a report gives the header back.
ORCPT_CHARS_MAX: Final = 500  # RFC 3461 §4.2.

# -- DNS: what a look-up may cost and how long its answer counts.
DNS_TTL_S_MIN: Final = 5.0  # Ours: a TTL of 0 must not cost a look-up a mail.
DNS_TTL_S_MAX: Final = 3600.0  # Ours: RFC 2181 §8 allows more; a moved domain should not wait for us.
DNS_NEGATIVE_TTL_S_MAX: Final = 300.0  # Ours: RFC 2308 §5 allows hours; a domain just registered should not wait.
DNS_FAILURE_TTL_S: Final = 5.0  # How long a failure counts for all who ask. RFC 2308 §7.1 allows up to 300.
DNS_STALE_S_MAX: Final = 900.0  # How long an expired answer serves while servers fail. RFC 8767 §5 allows days.
DNS_STALE_TTL_S: Final = 30.0  # And after how long to ask again meanwhile. RFC 8767 §4.
DNS_CACHE_COUNT_MAX: Final = 10_000  # Ours: names kept; about 1 KB each.
DNS_QUERIES_COUNT_MAX: Final = 256  # Ours: questions at once; each holds a socket. Fewer let dead domains delay others.
DNS_TRY_S: Final = 2.0  # Ours: for one packet, then the next server or again; as common resolvers do.
TXT_STRING_BYTES_MAX: Final = 255  # RFC 1035 §3.3.14: one string of a TXT record.
CNAME_CHAIN_COUNT_MAX: Final = 10  # Ours: aliases of aliases; resolvers follow 8 to 16, then call it a loop.
SPF_LOOKUPS_COUNT_MAX: Final = 10  # RFC 7208 §4.6.4: terms that make a receiver ask, in the whole tree.
SPF_VOIDS_COUNT_MAX: Final = 2  # RFC 7208 §4.6.4: questions that find nothing.
SPF_HOSTS_COUNT_MAX: Final = 10  # RFC 7208 §4.6.4: hosts of one mx or ptr.
SPF_COUNTED_COUNT_MAX: Final = 40  # Ours: how far over 10 we count, to tell by how much a record is over.
SPF_QUESTIONS_COUNT_MAX: Final = 150  # Ours: of one evaluation; 10 terms of mx with 10 hosts each ask 110.
SPF_SOURCES_COUNT_MAX: Final = 32  # Ours: addresses of ours that one check of a record tries.
RECORD_QUESTIONS_AT_ONCE_COUNT_MAX: Final = 16  # Ours: of one check of a domain.
RECORD_QUESTIONS_COUNT_MAX: Final = 600  # Ours: of one check; a domain in order needs about 20.
RECORD_CHECK_WAIT_S: Final = 30.0  # Ours: of one check, while somebody waits for it.
BIMI_URL_CHARS_MAX: Final = 500  # Ours: two of them in a TXT record of a KB, which fits an answer by UDP.
MX_HOSTS_COUNT_MAX: Final = 10  # Ours: RFC 5321 §5.1 asks for at least two; more is an attack on our resolver.
HOST_ADDRESSES_COUNT_MAX: Final = 8  # Ours: of one family and host; Gmail and Outlook have at most this many.

# -- Reports: bounces, complaints, auto-replies that come to a return path.
REPORT_BYTES_MAX: Final = 1024 * 1024  # Ours: what is looked at; what was said stands before what was returned.
REPORT_PARTS_COUNT_MAX: Final = 50  # Ours: MIME parts looked at, of all levels; a report has 3 to 8.
REPORT_DEPTH_COUNT_MAX: Final = 8  # Ours: levels of multipart; a report in a list's footer in a gateway's has 4.
REPORT_RETURN_PATHS_COUNT_MAX: Final = 20  # Ours: looked at in one report; one has two of the same recipient.
REPORT_TEXT_CHARS_MAX: Final = 64 * 1024  # Ours: of one part of text; a bounce has some 2,000 before the mail.
REPORT_DIAGNOSES_COUNT_MAX: Final = 50  # Ours: recipients of one report; we send a mail per recipient.
REPORT_SUMMARY_CHARS_MAX: Final = 500  # Ours: kept as evidence.

# -- A check-up of the node, while somebody waits for it (`outrider doctor`).
CHECKUP_WAIT_S: Final = 20.0  # Ours: in all; what is not done by then is told as such.
CHECKUP_DNS_WAIT_S: Final = 5.0  # Ours: for one question; two tries and a little.
CHECKUP_RECORDS_WAIT_S: Final = 12.0  # Ours: for all records of one domain.
CHECKUP_DIAL_WAIT_S: Final = 8.0  # Ours: a host that is up greets in one; some make strangers wait for five.
CHECKUP_DOMAINS_AT_ONCE_COUNT_MAX: Final = 8  # Ours: as the worker.
CHECKUP_QUEUE_COUNT_MAX: Final = 100_000  # Ours: recipients counted.

# -- What is kept.
KEPT_DAYS_COUNT_MAX: Final = 3_650  # Ours: ten years, and as many partitions of the log.

# -- Opens and clicks.
TRACKING_REQUEST_WAIT_S: Final = 30.0  # Ours: for a whole request by TLS, and again for its answer to leave.
TRACKING_CONNECTIONS_COUNT_MAX: Final = 4_000  # Ours: by TLS, of one web process; more are hung up on.
HOST_CERTIFICATES_COUNT_MAX: Final = 2_000  # Ours: 15 KB each in each web process (2026-11-28).
MACHINES_MARKED_COUNT_MAX: Final = 10_000  # Ours: visitors remembered to be machines; half a KB each.
