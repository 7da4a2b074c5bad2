"""Templates as `mail.templating` compiles them, written by hand, for tests of what is done with them."""

from outrider.engine.submission import Personal, Templated
from outrider.mail.render import Template, Variant
from outrider.mail.translate import VALUE


def template(subject: str, html: str | None, text: str | None = None, **more: str) -> Template:
    """Return a template of one language; `{{ name }}` is a variable. `more`: subjects of others, by locale."""
    others = [Variant(locale, _marked(line), "", None, _marked("{{ name }}")) for locale, line in more.items()]
    first = Variant("", _marked(subject), "", html and _marked(html), text and _marked(text))
    return Template(variants=(first, *others))


def templated(
    subject: str = "Hi {{ name }}", html: str = "<p>Code {{ code }}</p>", text: str = "{{ code }}"
) -> Templated:
    """Return a template that is stored as `T1`, in its second version."""
    return Templated(template=template(subject, html, text), template_id="T1", number=2)


def personal(**variables: object) -> Personal:
    """Return what one recipient's mail is filled in with."""
    return Personal(variables)


def _marked(text: str) -> str:
    return text.replace("{{", VALUE[0]).replace("}}", VALUE[1])
