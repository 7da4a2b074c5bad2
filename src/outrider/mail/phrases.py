"""The words by which mail of machines is told apart: bounces, delays, absences, challenges, in many languages.

Knowledge, not code: regular expressions, each tried on one line or one subject. English and the forms of known servers
first, then German, French, Spanish, Portuguese, Italian, Dutch, Swedish, Danish, Polish, Russian, Japanese, Chinese,
Korean. They only tell kinds apart and find who and where; what a reason means is `policy.classify`'s. Decisions are in
`bounce` and `report`; what they decide is shown by the messages in tests/data/reports.
"""

import re
from typing import Final

# fmt: off
# -- What stands before an address that failed.
BEFORE_RECIPIENT: Final = (
    r"rcpt to", r"recipient(?:\(s\)|s)?(?: address(?:es)?)?", r"addressed to", r"unknown user",
    r"invalid final delivery userid", r"user mailbox exceeds allowed size", r"undeliverable to",
    r"(?:failed|problem) (?:to )?deliver(?:y|ing)?(?: message)? to",
    r"deliver(?:y of)? (?:your )?(?:the )?(?:message|e?-?mail)s?(?: to)?", r"delivery (?:to|has failed to)",
    r"(?:could ?n[o']t|can ?not|was ?n[o']t|were not|not) be(?:en)? (?:successfully )?(?:sent|delivered) to",
    r"(?:was|were) ?(?:n't|not) delivered to", r"(?:was|were) undeliverable to", r"(?:message|mail) to", r"mailbox for",
    r"delivery to", r"(?:user|account|mailbox|address)", r"failed recipients?", r"for the recipient",
    r"to the following (?:recipients?|address(?:es)?)", r"recipients? (?:did not receive|failed|affected)", r"reach",
    r"envelope-to", r"address", r"\bto", r"an:?", r"empf[äa]nger(?:adresse)?", r"destinataires?", r"destinatarios?",
    r"destinat[áa]rios?", r"destinatari[oa]?", r"ontvangers?", r"mottagare", r"modtagere?", r"odbiorca",
    r"получател[ья]м?", r"адрес", r"宛先", r"受信者", r"收件人", r"收件人地址", r"수신자",
)
# -- Lines on which an address is somebody else's.
NOT_RECIPIENT: Final = (
    r"from\b", r"sender\b", r"mail from", r"reply-to", r"return-path", r"message-?id", r"x-[\w-]+:", r"received\b",
    r"in-reply-to", r"references",
    r"(?:for|if you (?:need|have|feel)|please|contact)\b.{0,80}(?:contact|assist|help|mail to|send|report)",
    r"(?:bitte|veuillez|por favor)\b.{0,80}(?:contact|kontakt)", r">>> mail from", r"von\b", r"absender", r"de ?:",
    r"expéditeur", r"remitente", r"remetente", r"mittente", r"afzender", r"avsändare", r"nadawca", r"отправитель",
    r"от ?:", r"差出人", r"发件人", r"寄件者", r"보낸", r"id:", r"dear\b", r"hello\b", r"hi\b",
    r"this (?:is|message was)", r"by ", r"reporting-mta", r"generating server", r"bcc ?:", r"cc ?:",
)
# -- Behind a rule of dashes: the mail that was returned begins.
RETURNED_RULED: Final = (
    r"(?:below|under) (?:this|the next) line",
    r"(?:this|here|attached|included|below) is (?:a |the )?(?:copy|original|header)",
    r"(?:the )?(?:headers? of )?(?:the |your )?original (?:mail|message)", r"the headers? of the original",
    r"returned message", r"unsent message", r"non-?delivered message", r"message (?:headers?|body|text|contents?)",
    r"undelivered message", r"forwarded message", r"returned mail", r"original (?:message )?headers?",
    r"start of message", r"copy of (?:the |your )?message", r"your (?:original )?message", r"ursprüngliche",
    r"originalnachricht", r"message d.origine", r"mensaje original", r"mensagem original", r"messaggio originale",
    r"исходное сообщение", r"元のメッセージ", r"原邮件", r"原始邮件", r"以下は",
)
RETURNED: Final = (
    r"original (?:message|mail) (?:headers?|follows?|below|text)\b", r"original message:?[ \t]*$",
    r"message headers? follows?", r"the first \d{1,4} lines of (?:your|the) ",
    r"(?:your|the) (?:original |undelivered |returned )?message (?:headers? )?(?:follows|begins)",
    r"(?:your|the) (?:original |undelivered |returned )?message is (?:included|attached) below",
    r"here is (?:a copy of )?(?:the |your )?(?:original |message)",
    r"ursprüngliche nachrichten(?:kopfzeilen|köpfe|header)", r"en-têtes d[eu] message d.origine",
    r"encabezados de mensaje originales?", r"cabeçalhos (?:originais da mensagem|de mensagens originais)",
    r"intestazioni (?:originali )?del messaggio", r"oorspronkelijke berichtkoppen", r"ursprungliga meddelanderubriker",
    r"元のメッセージ ?ヘッダー", r"原始邮件头", r"원본 메시지 머리글", r"исходные заголовки",
    r"included is a copy of the message header",
    r"a copy of the (?:original )?message (?:follows|is (?:below|attached))", r"message source:",
)
# -- What a line says when it says why. For the choice of lines only; what it means is policy.classify's.
_WHY: Final = (
    r"dns error", r"unknown",
    r"not (?:exist|found|listed|known|valid|recogni[sz]ed|accept|allowed|permitted|active|available|local)",
    r"n.t (?:exist|have a|be found)", r"no such", r"invalid", r"full\b", r"quota", r"exceed", r"too (?:large|big|many)",
    r"disabled", r"rejected", r"refused", r"denied", r"blocked", r"spam", r"virus", r"timed? ?out", r"reason",
    r"because", r"inactive", r"closed", r"no mailbox", r"no longer", r"bad (?:address|destination)", r"unbekannt",
    r"existiert nicht", r"nicht gefunden", r"voll\b", r"überschritten", r"abgelehnt", r"verweigert", r"ungültig",
    r"n.existe pas", r"introuvable", r"inconnu", r"pleine?\b", r"dépass", r"refus", r"no existe",
    r"no se (?:encontr|ha encontrado|pudo encontrar)", r"desconocid", r"llen[oa]\b", r"rechazad",
    r"não (?:existe|foi encontrad)", r"cheia", r"rejeitad", r"non esiste", r"sconosciut", r"pien[oa]\b", r"rifiutat",
    r"niet gevonden", r"bestaat niet", r"vol\b", r"hittades inte", r"finns inte", r"nie istnieje",
    r"не (?:существует|найден|доставлен)", r"переполнен", r"неизвестен", r"отклонен", r"存在し", r"見つかり", r"容量",
    r"拒否", r"宛先.{0,10}不明", r"いっぱい", r"不存在", r"无法找到", r"找不到", r"已满", r"拒绝", r"拒收", r"满",
    r"찾을 수 없", r"존재하지", r"가득",
)
# -- Subjects of mail that did not arrive.
_BOUNCE_SUBJECT: Final = (
    r"undeliver(?:able|ed)", r"un-?deliverable", r"return(?:ed|ing) (?:mail|message|e-?mail|to sender)",
    r"failure notice", r"(?:mail )?deliver[yi]\w* (?:has )?fail",
    r"(?:message|mail|e-?mail)\b.{0,40}\b(?:could ?n[o']t|can ?not|not|unable to) (?:be |have been )?deliver",
    r"deliver(?:y|ing) (?:status|failure|error|problem|report|fehler)",
    r"deliver(?:y|able)? (?:notification|incomplete|unsuccessful)", r"non-?deliver",
    r"(?:mail|message|delivery) (?:error|failure|failed)", r"(?:fail|error).{0,20}(?:deliver|sending|to send)",
    r"unable to deliver", r"nondeliverable", r"message (?:undeliverable|non-?deliverable)",
    r"mail (?:system error|delivery (?:error|problem|status|report))", r"rejected (?:mail|message)", r"mail rejected",
    r"bounced? (?:mail|message)", r"permanent (?:delivery )?failure", r"user unknown", r"dsn:", r"ndn:",
    r"postmaster notify", r"your (?:e-?)?mail .{0,30}(?:failed|rejected|not delivered)", r"unzustellbar",
    r"nicht zu(?:ge)?stell", r"zustell(?:ung|fehler)", r"konnte nicht (?:zugestellt|gesendet)", r"rückläufer",
    r"non remis", r"non distribu", r"échec (?:de|d.|lors)", r"notification d.état de (?:la )?remise", r"message non",
    r"no se (?:pudo|puede|ha podido) entregar", r"no entregad", r"no se puede entregar", r"devuelto",
    r"fallo (?:en|de) (?:la )?entrega", r"error (?:de|en la) entrega", r"não (?:foi )?(?:entregue|pôde)",
    r"não é possível entregar", r"falha (?:na|de) entrega", r"devolvid", r"mancat[oa] (?:recapito|consegna)",
    r"non (?:recapitabile|consegnat)", r"impossibile recapitare", r"messaggio non",
    r"niet (?:bezorgd|afgeleverd|bestelbaar)", r"onbestelbaar", r"kan inte levereras", r"olever", r"ikke leveres",
    r"kan ikke leveres", r"uleverlig", r"nie (?:dostarczono|można dostarczyć)", r"niedostarcz", r"zwrot", r"недостав",
    r"не (?:может быть |было |удалось )?достав", r"невозможно доставить", r"ошибка доставки",
    r"配信(?:でき|不能|エラー|に失敗|失敗)", r"配達(?:でき|不能)", r"送信(?:でき|エラー|失敗)", r"エラーメール",
    r"配信不可", r"未送達", r"不達", r"退信", r"投递失败", r"无法(?:投递|送达|传递|传送)", r"發送失敗", r"发送失败",
    r"無法傳[遞送]", r"未送达", r"系统退信", r"배달되지", r"전송 실패", r"반송", r"teslim edilemedi",
)
_DELAY_SUBJECT: Final = (
    r"delay(?:ed)?\b", r"warning:? .{0,40}(?:could not send|still|not (?:yet )?(?:been )?(?:sent|delivered)|hours)",
    r"could not send message for past", r"still (?:being retried|trying|in queue)", r"deferred", r"will be retried",
    r"transient", r"not yet delivered", r"verzögert", r"verzögerung", r"retard", r"retrasad", r"demorad", r"atrasad",
    r"ritard", r"vertraagd", r"fördröj", r"forsinket", r"opóźni", r"задерж", r"遅延", r"延迟", r"지연",
)
_DELAY_BODY: Final = (
    r"this is a warning message only", r"you do not need to resend", r"has not (?:yet )?been delivered (?:yet|to)",
    r"delivery attempts? will (?:continue|be)", r"(?:will|we.ll) (?:keep|continue|go on) (?:to )?try",
    r"will (?:be retried|retry|continue trying)", r"delivery (?:to .{0,80} )?has been delayed", r"delivery incomplete",
    r"no action is required on your part", r"temporary problem delivering", r"will be (?:attempted|tried) again",
    r"is delayed", r"i.ll keep trying", r"wird weiterhin versuch", r"zustellung .{0,30}verzögert",
    r"retardée?\b.{0,60}tent", r"再送(?:を|し).{0,10}(?:続け|試み|ます)", r"继续尝试", r"нет необходимости повторно",
    r"попытки .{0,40}(?:продолж|будут)",
)
_FAILED_BODY: Final = (
    r"permanent(?:ly)?[ -](?:error|fail|fatal|undeliver)", r"(?:gave|given|giving) up",
    r"no (?:further|more) (?:delivery )?attempts", r"could not be delivered", r"has failed",
    r"message (?:was )?undeliverable", r"will not be retried", r"wasn.t delivered", r"i(?:'m| am) not going to try",
    r"giving up on it",
)
_FINAL_BODY: Final = (
    r"permanent(?:ly)?[ -](?:error|fail|fatal|undeliver)", r"(?:gave|given|giving) up",
    r"no (?:further|more) (?:delivery )?attempts", r"will not be retried", r"not going to try",
)
# -- What a notification about a mail that did not arrive says in its body.
_BOUNCE_BODY: Final = (
    r"hi\. this is the", r"i wasn.t able to deliver your message", r"this is a permanent error",
    r"this message was created automatically by (?:the )?mail",
    r"a message that you (?:have )?sent could not be delivered", r"could not be delivered",
    r"-{3,} ?(?:transcript of session|the following addresses|failure reasons|non-delivered)",
    r"this is the (?:mail system|postfix program) at host", r"the original message was received at",
    r"delivery (?:to the following recipients?|has) failed",
    r"delivery to .{0,120}(?:failed|has been (?:suspended|rejected))", r"did not reach the following recipient",
    r"was ?n(?:o|')t delivered to", r"(?:was|were) not delivered", r"diagnostic information for administrators",
    r"unable to deliver", r"address not found", r"the response (?:from the remote server )?was",
    r"sorry, (?:we were|i was|i wasn|your)", r"following address(?:es|\(es\))? (?:had|failed|has)",
    r"undeliver(?:able|ed)", r"non-?delivera?", r"delivery (?:failure|failed|error|notification)",
    r"returned (?:mail|to sender)", r"(?:message|mail) (?:could|can|was) ?not (?:be )?(?:sent|deliver)",
    r"cannot be delivered", r"can.t be delivered", r"problem delivering",
    r"(?:not|n.t) (?:be )?deliver(?:ed)? (?:your|the|this|to)", r"smtp error from remote",
    r"remote (?:host|server) (?:said|returned|replied|responded)", r"(?:message|mail) .{0,60}rejected", r"user unknown",
    r"unknown user", r"mailbox (?:is )?full", r"rcpt to", r"(?:no such|unknown|invalid) (?:user|recipient|mailbox)",
    r"was undeliverable", r"failed to (?:deliver|send)", r"delivery errors?", r"error_code ?:",
    r"had trouble delivering", r"no mailbox here", r"recipient(?:s)? (?:was|were) rejected",
    r"over (?:their |its )?quota", r"konnte nicht (?:zugestellt|gesendet|übermittelt)", r"nicht zu(?:ge)?stell",
    r"unzustellbar", r"diagnoseinformationen", r"fehler bei der (?:nachrichten)?zustellung",
    r"n.a pas (?:pu être|été) (?:remis|distribu|délivr|livr)", r"échec de la remise", r"n.a pu être",
    r"informations de diagnostic", r"no se pudo entregar", r"no (?:ha|se ha) podido (?:ser )?entreg",
    r"error (?:al entregar|en la entrega)", r"información de diagnóstico",
    r"não (?:pôde|foi possível|foi) (?:ser )?entreg", r"falha na entrega",
    r"non (?:è stato|ha potuto essere|può essere) (?:possibile )?(?:recapit|consegn)", r"impossibile recapitare",
    r"niet (?:worden )?(?:bezorgd|afgeleverd)", r"kunde inte levereras", r"kunne ikke leveres",
    r"nie (?:mógł|mogła|można|zosta).{0,40}dostarcz", r"не (?:может быть |было |была |удалось )?достав",
    r"невозможно доставить", r"недоставлен", r"配信でき", r"配信に失敗", r"配達でき", r"送信でき", r"お届けでき",
    r"届けられ", r"配信不能", r"退信", r"无法(?:投递|送达|传递|发送)", r"投递失败", r"未能(?:投递|送达)", r"无法送達",
    r"無法(?:傳[遞送]|投遞)", r"被退回", r"배달되지|배달하지|전송하지",
)
_DAEMON: Final = (
    r"mailer[-_ .]?daemon", r"postmaster", r"mail delivery", r"mail deliver", r"delivery[- ](?:sub)?system",
    r"mail administrator", r"system administrator", r"mail[- _]?system", r"\bmdaemon", r"bounce", r"microsoft outlook",
    r"systemadministrator", r"administrateur système", r"message delivery", r"mail[- ]?router", r"mailsystem",
    r"groupwise", r"daemon@", r"<>", r"mail subsystem", r"internet mail delivery", r"non-?delivery", r"smtp gateway",
    r"interscan", r"mailsweeper", r"mailmarshal", r"no-?reply@.*(?:kddi|ezweb|zoho|docomo|softbank)",
    r"delivery report", r"notification@", r"administrador del sistema", r"administrador", r"amministratore",
    r"mail server", r"mailserver", r"mail gateway", r"メール配信", r"邮件系统", r"系统管理员", r"почтов",
)
# -- Subjects of the absent. English, German, French, Spanish, Portuguese, Italian, Dutch, Swedish, Danish, Norwegian,
#    Finnish, Polish, Czech, Russian, Turkish, Japanese, Chinese, Korean.
_AWAY_SUBJECT: Final = (
    r"out[ -]of[ -](?:the[ -])?office",
    r"auto(?:matic|mated|matisch[es]*)?[ -]?(?:reply|response|respon|antwort|svar|odpowied)", r"auto:", r"autoreply",
    r"auto-?respond", r"on (?:vacation|holiday|leave)\b", r"vacation", r"away from (?:my|the) (?:mail|desk|office)",
    r"\booo\b", r"i am (?:currently )?(?:out|away)", r"abwesen", r"nicht im (?:büro|haus)", r"im urlaub",
    r"eingangsbestätigung", r"réponse automatique", r"absen(?:t|ce) d", r"message d.absence", r"absence du bureau",
    r"en congés?", r"respuesta automática", r"fuera de (?:la )?oficina", r"de vacaciones", r"resposta automática",
    r"ausência", r"fora do escritório", r"férias", r"risposta automatica", r"fuori (?:sede|ufficio)", r"assente",
    r"in ferie", r"automatisch (?:antwoord|bericht)", r"afwezig", r"frånvaro", r"autosvar", r"automatiskt svar",
    r"fravær", r"ikke til stede", r"automatisk svar", r"automaattinen vastaus", r"poissa", r"odpowiedź automatyczna",
    r"automatyczna odpowiedź", r"nieobecno", r"poza biurem", r"automatická odpověď", r"mimo kancelář", r"автоответ",
    r"автоматический ответ", r"отпуск", r"вне офиса", r"otomatik yanıt", r"ofis dışında", r"自動(?:返信|応答|回答)",
    r"不在", r"休暇", r"自动(?:回复|答复|回覆)", r"自動回覆", r"休假", r"外出", r"자동 ?(?:응답|회신)", r"부재",
)
# -- Who wants the sender to prove that he is a person.
_CHALLENGER: Final = (
    r"spamarrest", r"boxbe", r"\btmda\b", r"choicemail", r"spam ?blocker", r"bluebottle", r"mailblocks", r"knowspam",
    r"spamlion", r"qurb", r"challenge[- /]response",
)
# Never "confirm your address": that is what mail of our customers says, and comes back quoted.
_CHALLENGE: Final = (
    r"(?:confirm|verify) (?:that )?you (?:have )?(?:sent|wrote|are (?:a )?(?:human|person|real))",
    r"(?:confirm|verify) (?:your message|that your message)", r"sender (?:address )?verification",
    r"confirmation (?:is )?(?:required|needed) (?:to|for|before) deliver",
    r"your message .{0,40}(?:is|has been) (?:held|waiting|awaiting|quarantined).{0,60}(?:confirm|verif|approv)",
    r"(?:click|reply).{0,60}(?:to|and).{0,30}(?:deliver|release) your (?:message|e-?mail)",
    r"(?:just )?this once,? click", r"prove (?:that )?you.{0,10} (?:human|person|not a)", r"unconfirmed message",
    r"bestätigen sie.{0,40}(?:absender|nachricht)", r"confirmez que vous avez envoyé",
    r"confirme que (?:usted )?(?:ha )?envi",
)
# An end, and nothing else: a subject of ours that begins with "Stop" comes back in answers.
_UNSUBSCRIBE: Final = (
    r"un-?subscribe(?: me| us)?", r"opt[- ]?out", r"remove(?: me| us)?", r"stop(?: e?-?mails?)?", r"abmelde?n?",
    r"abmeldung", r"abbestellen", r"austragen", r"(?:me |se )?désabonne[rz]?(?:[- ]moi)?", r"désabonnement",
    r"désinscription", r"désinscrire", r"baja", r"(?:darse|darme|dar) de baja", r"cancelar (?:la )?suscripción",
    r"descadastrar", r"descadastre(?:-me)?", r"cancelar (?:a )?(?:inscrição|assinatura)", r"disiscriv\w{1,9}",
    r"cancellami", r"annulla iscrizione", r"uitschrijven", r"afmelden", r"avregistrera", r"avprenumerera", r"afmeld",
    r"wypisz(?: mnie)?", r"отписаться", r"отписать", r"отпишите меня", r"отказаться от рассылки", r"配信停止(?:希望)?",
    r"購読解除", r"登録解除", r"退订", r"取消订阅", r"取消訂閱", r"수신 ?거부", r"구독 ?취소",
)
# fmt: on


def _any(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(words), re.IGNORECASE)


_REPLIED: Final = re.compile(r"^\s*(?:re|fwd?|wg|aw|tr|rv|回复|答复)\s*[:：]", re.IGNORECASE)
_WHY_ANY: Final = _any(_WHY)
_BOUNCE_SUBJECT_ANY: Final = _any(_BOUNCE_SUBJECT)
_BOUNCE_BODY_ANY: Final = _any(_BOUNCE_BODY)
_DELAY_SUBJECT_ANY: Final = _any(_DELAY_SUBJECT)
_DELAY_BODY_ANY: Final = _any(_DELAY_BODY)
_FAILED_BODY_ANY: Final = _any(_FAILED_BODY)
_DAEMON_ANY: Final = _any(_DAEMON)
_AWAY_ANY: Final = _any(_AWAY_SUBJECT)
_CHALLENGE_ANY: Final = _any(_CHALLENGE)
_CHALLENGER_ANY: Final = _any(_CHALLENGER)
_FINAL_BODY_ANY: Final = _any(_FINAL_BODY)
_unsubscribe: Final = re.compile(
    rf"\s*(?:(?:re|aw|fwd?)\s*:\s*)?(?:please,?\s+|bitte\s+)?(?:{'|'.join(_UNSUBSCRIBE)})"
    r"(?:\s+from (?:this|the|your|all|any) [\w -]{1,40})?(?:,?\s+(?:please|thanks|thank you))?[\s.!]*"
    r"|\s*(?:list-)?unsubscribe[:=\s]\s*[^\s]{1,120}\s*",
    re.IGNORECASE,
).fullmatch


def says_why(text: str) -> bool:
    """Tell whether a line gives a reason."""
    return _WHY_ANY.search(text) is not None


def is_bounce_subject(text: str) -> bool:
    """Tell whether a subject is that of a mail about one that did not arrive, and no answer to such."""
    return not (is_reply(text) or is_away_subject(text)) and _BOUNCE_SUBJECT_ANY.search(text) is not None


def is_reply(text: str) -> bool:
    """Tell whether a subject is that of an answer, or passed on: it may be the subject of a mail of ours."""
    return _REPLIED.match(text) is not None


def is_bounce_body(text: str) -> bool:
    """Tell whether a text speaks of a mail that did not arrive."""
    return _BOUNCE_BODY_ANY.search(text) is not None


def is_delay(subject: str, text: str) -> bool:
    """Tell whether a mail about one that did not arrive says that it may still do so."""
    if _DELAY_SUBJECT_ANY.search(subject):
        return _FINAL_BODY_ANY.search(text) is None  # The subject may be that of the mail that is returned.
    return _DELAY_BODY_ANY.search(text) is not None and _FAILED_BODY_ANY.search(text) is None


def is_daemon(text: str) -> bool:
    """Tell whether a From field is that of a mail server."""
    return _DAEMON_ANY.search(text) is not None


def is_away_subject(text: str) -> bool:
    """Tell whether a subject is that of somebody who is not there."""
    return _AWAY_ANY.search(text) is not None


def is_challenger(text: str) -> bool:
    """Tell whether From or Subject name a service that asks senders to prove that they are people."""
    return _CHALLENGER_ANY.search(text) is not None


def is_challenge(text: str) -> bool:
    """Tell whether somebody asks the sender to prove that he is a person."""
    return _CHALLENGE_ANY.search(text) is not None


def is_unsubscribe(text: str) -> bool:
    """Tell whether a subject, or the first line of a text, asks for nothing but an end."""
    return _unsubscribe(text) is not None
