"""Twenty-five help-centre articles in English and German, as the demo shows them."""

Text = tuple[str, str, tuple[str, ...], str]  # title, introduction, steps, what else to know

TEXTS: list[tuple[Text, Text]] = [
    (
        (
            "Reset your password",
            (
                "If you forgot your password, you can set a new one yourself. The link in the mail works for 60 "
                "minutes and only once."
            ),
            (
                "Open the sign-in page and choose Forgot password.",
                "Type the address of your account and send the form.",
                "Open the mail, follow the link, and choose a password of at least 12 characters.",
            ),
            (
                "No mail after five minutes? Look into the spam folder, or ask an administrator whether your account "
                "uses single sign-on."
            ),
        ),
        (
            "Passwort zurücksetzen",
            (
                "Wenn Sie Ihr Passwort vergessen haben, können Sie selbst ein neues festlegen. Der Link in der E-Mail"
                " gilt 60 Minuten und nur einmal."
            ),
            (
                "Öffnen Sie die Anmeldeseite und wählen Sie Passwort vergessen.",
                "Geben Sie die Adresse Ihres Kontos ein und senden Sie das Formular ab.",
                "Öffnen Sie die E-Mail, folgen Sie dem Link und wählen Sie ein Passwort mit mindestens 12 Zeichen.",
            ),
            (
                "Keine E-Mail nach fünf Minuten? Sehen Sie im Spam-Ordner nach oder fragen Sie Ihre Administratoren, "
                "ob Ihr Konto Single Sign-on nutzt."
            ),
        ),
    ),
    (
        (
            "Turn on two-factor authentication",
            (
                "A second factor protects your account even when somebody knows your password. Any authenticator app "
                "works."
            ),
            (
                "Open Profile and choose Security.",
                "Scan the QR code with your authenticator app.",
                "Type the six digits and store the recovery codes in a safe place.",
            ),
            "If the digits are refused, set the clock of your phone to automatic: codes depend on the time.",
        ),
        (
            "Zwei-Faktor-Authentifizierung einschalten",
            (
                "Ein zweiter Faktor schützt Ihr Konto auch dann, wenn jemand Ihr Passwort kennt. Jede Authenticator-"
                "App funktioniert."
            ),
            (
                "Öffnen Sie Profil und wählen Sie Sicherheit.",
                "Scannen Sie den QR-Code mit Ihrer Authenticator-App.",
                "Geben Sie die sechs Ziffern ein und bewahren Sie die Wiederherstellungscodes sicher auf.",
            ),
            (
                "Werden die Ziffern abgelehnt, stellen Sie die Uhr Ihres Telefons auf automatisch: Die Codes hängen "
                "von der Zeit ab."
            ),
        ),
    ),
    (
        (
            "Change your plan",
            (
                "You can move to a larger or smaller plan at any time. An upgrade starts at once, a downgrade at the "
                "end of the paid period."
            ),
            (
                "Open Settings, then Billing.",
                "Choose Change plan and compare the limits.",
                "Confirm. The next invoice shows the difference for the rest of the month.",
            ),
            "Before a downgrade, remove agents above the new limit; otherwise the newest ones are deactivated.",
        ),
        (
            "Tarif wechseln",
            (
                "Sie können jederzeit in einen größeren oder kleineren Tarif wechseln. Ein Upgrade gilt sofort, ein "
                "Downgrade am Ende des bezahlten Zeitraums."
            ),
            (
                "Öffnen Sie Einstellungen und dann Abrechnung.",
                "Wählen Sie Tarif wechseln und vergleichen Sie die Grenzen.",
                "Bestätigen Sie. Die nächste Rechnung zeigt die Differenz für den Rest des Monats.",
            ),
            "Entfernen Sie vor einem Downgrade überzählige Agenten; sonst werden die neuesten deaktiviert.",
        ),
    ),
    (
        (
            "Download an invoice",
            (
                "All invoices of the last seven years are available as PDF. Only administrators and the role Billing "
                "see them."
            ),
            (
                "Open Settings, then Billing, then Invoices.",
                "Choose the month and select Download.",
                "To send copies automatically, add your accountant's address under Recipients.",
            ),
            (
                "An issued invoice is never changed. If the address or the VAT number is wrong, correct it first and "
                "ask us for a new document."
            ),
        ),
        (
            "Rechnung herunterladen",
            (
                "Alle Rechnungen der letzten sieben Jahre liegen als PDF bereit. Nur Administratoren und die Rolle "
                "Abrechnung sehen sie."
            ),
            (
                "Öffnen Sie Einstellungen, dann Abrechnung, dann Rechnungen.",
                "Wählen Sie den Monat und klicken Sie auf Herunterladen.",
                "Für automatische Kopien tragen Sie die Adresse Ihrer Buchhaltung unter Empfänger ein.",
            ),
            (
                "Eine ausgestellte Rechnung wird nie geändert. Sind Adresse oder USt-IdNr. falsch, berichtigen Sie "
                "sie zuerst und bitten Sie uns um ein neues Dokument."
            ),
        ),
    ),
    (
        (
            "Why was my card declined?",
            "Most declined cards have expired, have no limit left, or need a confirmation by the bank.",
            (
                "Check number, expiry date and security code.",
                "Ask your bank whether it blocks payments from abroad.",
                "Add another card or choose direct debit under Payment methods.",
            ),
            (
                "We try again after one, three and seven days. Your workspace stays open for 14 days after the first "
                "failure."
            ),
        ),
        (
            "Warum wurde meine Karte abgelehnt?",
            (
                "Die meisten abgelehnten Karten sind abgelaufen, haben kein Limit mehr oder brauchen eine Bestätigung"
                " der Bank."
            ),
            (
                "Prüfen Sie Nummer, Ablaufdatum und Sicherheitscode.",
                "Fragen Sie Ihre Bank, ob sie Zahlungen ins Ausland sperrt.",
                "Hinterlegen Sie eine andere Karte oder wählen Sie Lastschrift unter Zahlungsarten.",
            ),
            (
                "Wir versuchen es nach einem, drei und sieben Tagen erneut. Ihr Arbeitsbereich bleibt 14 Tage nach "
                "dem ersten Fehlschlag offen."
            ),
        ),
    ),
    (
        (
            "Request a refund",
            "Orders can be returned within 30 days of delivery. The money goes back the way that it came.",
            (
                "Open the order and choose Return items.",
                "Print the label and bring the parcel to any counter of the carrier.",
                "We check the parcel within two working days and send the refund.",
            ),
            "Banks need three to five working days to show it. Gift cards are refunded as store credit.",
        ),
        (
            "Erstattung anfordern",
            (
                "Bestellungen können innerhalb von 30 Tagen nach der Lieferung zurückgegeben werden. Das Geld geht "
                "auf demselben Weg zurück."
            ),
            (
                "Öffnen Sie die Bestellung und wählen Sie Artikel zurückgeben.",
                "Drucken Sie das Etikett und geben Sie das Paket in einer Filiale des Versanddienstes ab.",
                "Wir prüfen das Paket innerhalb von zwei Werktagen und veranlassen die Erstattung.",
            ),
            "Banken brauchen drei bis fünf Werktage für die Gutschrift. Geschenkkarten erstatten wir als Guthaben.",
        ),
    ),
    (
        (
            "Track your delivery",
            "As soon as the carrier has scanned the parcel, you can follow it on the tracking page.",
            (
                "Open the mail Your order is on its way.",
                "Choose Track parcel, or type the order number on the tracking page.",
                "Turn on notifications to hear about each step.",
            ),
            "The status can stand still for up to 48 hours between two sorting centres; this is normal.",
        ),
        (
            "Lieferung verfolgen",
            "Sobald der Versanddienst das Paket gescannt hat, können Sie es auf der Sendungsseite verfolgen.",
            (
                "Öffnen Sie die E-Mail Ihre Bestellung ist unterwegs.",
                "Wählen Sie Paket verfolgen oder geben Sie die Bestellnummer auf der Sendungsseite ein.",
                "Schalten Sie Benachrichtigungen ein, um von jedem Schritt zu erfahren.",
            ),
            "Zwischen zwei Verteilzentren kann der Status bis zu 48 Stunden stillstehen; das ist normal.",
        ),
    ),
    (
        (
            "My parcel is lost",
            "A parcel counts as lost when its status has not moved for ten days inside the country, or 21 days abroad.",
            (
                "Check with neighbours and at the counter named on the card.",
                "Choose Report a problem on the tracking page.",
                "Tell us whether you want a new parcel or your money back.",
            ),
            (
                "The carrier has seven days to search. You do not have to wait for the result: we send the "
                "replacement at once."
            ),
        ),
        (
            "Mein Paket ist verloren gegangen",
            (
                "Ein Paket gilt als verloren, wenn sich sein Status zehn Tage im Inland oder 21 Tage im Ausland nicht"
                " bewegt hat."
            ),
            (
                "Fragen Sie bei Nachbarn und in der auf der Karte genannten Filiale nach.",
                "Wählen Sie Problem melden auf der Sendungsseite.",
                "Sagen Sie uns, ob Sie ein neues Paket oder Ihr Geld zurück möchten.",
            ),
            "Der Versanddienst sucht bis zu sieben Tage. Darauf müssen Sie nicht warten: Wir senden den Ersatz sofort.",
        ),
    ),
    (
        (
            "Change the delivery address",
            (
                "The address of an order can be changed until the label has been printed, usually two hours after the"
                " payment."
            ),
            (
                "Open the order and choose Change address.",
                "Type the new address and confirm the suggestion.",
                "Wait for the mail with the corrected order.",
            ),
            "Is the label printed? Then redirect the parcel on the carrier's page; we cannot do it for you.",
        ),
        (
            "Lieferadresse ändern",
            (
                "Die Adresse einer Bestellung lässt sich ändern, bis das Etikett gedruckt ist, meist zwei Stunden "
                "nach der Zahlung."
            ),
            (
                "Öffnen Sie die Bestellung und wählen Sie Adresse ändern.",
                "Geben Sie die neue Adresse ein und bestätigen Sie den Vorschlag.",
                "Warten Sie auf die E-Mail mit der berichtigten Bestellung.",
            ),
            (
                "Ist das Etikett gedruckt? Dann leiten Sie das Paket auf der Seite des Versanddienstes um; wir können"
                " das nicht für Sie tun."
            ),
        ),
    ),
    (
        (
            "Invite a colleague",
            "Every plan has a number of seats. An invitation uses a seat as soon as it has been accepted.",
            (
                "Open Settings, then Team, and choose Invite.",
                "Type the work address and choose a role.",
                "Send the invitation; it is valid for seven days.",
            ),
            "If the button is grey, all seats are taken. Remove an agent or change your plan.",
        ),
        (
            "Kollegen einladen",
            (
                "Jeder Tarif enthält eine Anzahl von Plätzen. Eine Einladung belegt einen Platz, sobald sie "
                "angenommen wurde."
            ),
            (
                "Öffnen Sie Einstellungen, dann Team, und wählen Sie Einladen.",
                "Geben Sie die dienstliche Adresse ein und wählen Sie eine Rolle.",
                "Senden Sie die Einladung ab; sie gilt sieben Tage.",
            ),
            (
                "Ist die Schaltfläche grau, sind alle Plätze belegt. Entfernen Sie einen Agenten oder wechseln Sie "
                "den Tarif."
            ),
        ),
    ),
    (
        (
            "Roles and permissions",
            (
                "Roles decide what an agent sees. Administrators may do everything, agents answer conversations, "
                "viewers only read."
            ),
            (
                "Open Settings, then Team.",
                "Choose the agent and select another role.",
                "Save; the change takes effect at the next page load.",
            ),
            "Custom roles belong to the Business plan. A workspace always keeps at least one administrator.",
        ),
        (
            "Rollen und Rechte",
            (
                "Rollen bestimmen, was ein Agent sieht. Administratoren dürfen alles, Agenten beantworten Gespräche, "
                "Betrachter lesen nur."
            ),
            (
                "Öffnen Sie Einstellungen und dann Team.",
                "Wählen Sie den Agenten und eine andere Rolle.",
                "Speichern Sie; die Änderung gilt ab dem nächsten Laden der Seite.",
            ),
            "Eigene Rollen gehören zum Business-Tarif. Ein Arbeitsbereich behält immer mindestens einen Administrator.",
        ),
    ),
    (
        (
            "Set up single sign-on",
            (
                "With single sign-on your identity provider decides who may enter. SAML 2.0 and OpenID Connect are "
                "supported."
            ),
            (
                "Open Settings, then Security, then Single sign-on.",
                "Copy our metadata address into your identity provider.",
                "Paste its metadata, test with one account, then enforce it for everybody.",
            ),
            "Keep one administrator with a password, so that a broken certificate does not lock you out.",
        ),
        (
            "Single Sign-on einrichten",
            (
                "Mit Single Sign-on entscheidet Ihr Identitätsanbieter, wer eintreten darf. SAML 2.0 und OpenID "
                "Connect werden unterstützt."
            ),
            (
                "Öffnen Sie Einstellungen, dann Sicherheit, dann Single Sign-on.",
                "Kopieren Sie unsere Metadaten-Adresse in Ihren Identitätsanbieter.",
                "Fügen Sie dessen Metadaten ein, testen Sie mit einem Konto und machen Sie es dann zur Pflicht.",
            ),
            "Behalten Sie einen Administrator mit Passwort, damit ein defektes Zertifikat Sie nicht aussperrt.",
        ),
    ),
    (
        (
            "Install the chat widget",
            (
                "The widget is one script in the head of your pages. It loads after your content and sets no cookie "
                "before a chat starts."
            ),
            (
                "Open Channels, then Website, and choose your site.",
                "Copy the snippet and paste it before the closing head tag.",
                "Reload your page; the bubble appears in the lower right corner.",
            ),
            "No bubble? Check the allowed domains and your content security policy.",
        ),
        (
            "Chat-Widget einbauen",
            (
                "Das Widget ist ein Skript im Kopf Ihrer Seiten. Es lädt nach Ihrem Inhalt und setzt vor Beginn eines"
                " Chats kein Cookie."
            ),
            (
                "Öffnen Sie Kanäle, dann Website, und wählen Sie Ihre Seite.",
                "Kopieren Sie den Code und fügen Sie ihn vor dem schließenden head-Tag ein.",
                "Laden Sie die Seite neu; die Blase erscheint unten rechts.",
            ),
            "Keine Blase? Prüfen Sie die erlaubten Domains und Ihre Content Security Policy.",
        ),
    ),
    (
        (
            "Connect your support mailbox",
            "Forward your support address to the inbox, and answers go out under your own domain.",
            (
                "Open Channels, then E-mail, and add your address.",
                "Create a forwarding rule at your mail provider and confirm the test mail.",
                "Add the two DNS records for SPF and DKIM.",
            ),
            "DNS changes need up to 24 hours. Until then answers are sent from our address on your behalf.",
        ),
        (
            "Support-Postfach verbinden",
            (
                "Leiten Sie Ihre Support-Adresse an den Posteingang weiter, und Antworten gehen unter Ihrer eigenen "
                "Domain hinaus."
            ),
            (
                "Öffnen Sie Kanäle, dann E-Mail, und fügen Sie Ihre Adresse hinzu.",
                "Legen Sie bei Ihrem E-Mail-Anbieter eine Weiterleitung an und bestätigen Sie die Testnachricht.",
                "Fügen Sie die beiden DNS-Einträge für SPF und DKIM hinzu.",
            ),
            (
                "DNS-Änderungen brauchen bis zu 24 Stunden. Bis dahin senden wir Antworten in Ihrem Namen von unserer"
                " Adresse."
            ),
        ),
    ),
    (
        (
            "Working hours and away messages",
            "Outside working hours visitors see when you are back, and an away message answers the first question.",
            (
                "Open Settings, then Working hours.",
                "Choose the time zone and the hours of each day.",
                "Write the away message and switch it on.",
            ),
            "Public holidays are separate: add them once a year under Exceptions.",
        ),
        (
            "Arbeitszeiten und Abwesenheitsnachrichten",
            (
                "Außerhalb der Arbeitszeiten sehen Besucher, wann Sie zurück sind, und eine Abwesenheitsnachricht "
                "beantwortet die erste Frage."
            ),
            (
                "Öffnen Sie Einstellungen und dann Arbeitszeiten.",
                "Wählen Sie die Zeitzone und die Stunden jedes Tages.",
                "Schreiben Sie die Abwesenheitsnachricht und schalten Sie sie ein.",
            ),
            "Feiertage sind getrennt: Tragen Sie sie einmal im Jahr unter Ausnahmen ein.",
        ),
    ),
    (
        (
            "Write saved replies",
            "Saved replies answer common questions with two keystrokes. Placeholders fill in the customer's name.",
            (
                "Open Inbox, then Saved replies, and choose New.",
                "Give a short code such as refund and write the text.",
                "Type a slash and the code in any conversation.",
            ),
            "An empty placeholder is left out with the space before it, so greetings stay tidy.",
        ),
        (
            "Gespeicherte Antworten schreiben",
            (
                "Gespeicherte Antworten beantworten häufige Fragen mit zwei Tasten. Platzhalter setzen den Namen des "
                "Kunden ein."
            ),
            (
                "Öffnen Sie Posteingang, dann Gespeicherte Antworten, und wählen Sie Neu.",
                "Vergeben Sie ein Kürzel wie erstattung und schreiben Sie den Text.",
                "Tippen Sie in einem Gespräch einen Schrägstrich und das Kürzel.",
            ),
            "Ein leerer Platzhalter entfällt samt Leerzeichen davor, damit Anreden sauber bleiben.",
        ),
    ),
    (
        (
            "Merge two contacts",
            "When a customer writes from two addresses, merge both records: conversations and notes come together.",
            (
                "Open the contact that shall stay.",
                "Choose Merge and search for the other one.",
                "Compare the fields, pick the values to keep, and confirm.",
            ),
            "A merge cannot be undone. Both addresses lead to the remaining contact from then on.",
        ),
        (
            "Zwei Kontakte zusammenführen",
            (
                "Schreibt ein Kunde von zwei Adressen, führen Sie beide Datensätze zusammen: Gespräche und Notizen "
                "kommen an einen Ort."
            ),
            (
                "Öffnen Sie den Kontakt, der bleiben soll.",
                "Wählen Sie Zusammenführen und suchen Sie den anderen.",
                "Vergleichen Sie die Felder, wählen Sie die Werte und bestätigen Sie.",
            ),
            (
                "Eine Zusammenführung lässt sich nicht rückgängig machen. Beide Adressen führen danach zum "
                "verbliebenen Kontakt."
            ),
        ),
    ),
    (
        (
            "Export conversations as CSV",
            "An export holds one line for each conversation with times, tags, agent and rating.",
            (
                "Open Reports, then Exports.",
                "Choose the period and the columns.",
                "Wait for the mail with the link; it works for 24 hours.",
            ),
            "Files are UTF-8. If umlauts look broken in Excel, import the file through Data, From text.",
        ),
        (
            "Gespräche als CSV exportieren",
            "Ein Export enthält eine Zeile je Gespräch mit Zeiten, Schlagwörtern, Agent und Bewertung.",
            (
                "Öffnen Sie Berichte und dann Exporte.",
                "Wählen Sie den Zeitraum und die Spalten.",
                "Warten Sie auf die E-Mail mit dem Link; er gilt 24 Stunden.",
            ),
            (
                "Die Dateien sind UTF-8. Sehen Umlaute in Excel defekt aus, importieren Sie die Datei über Daten, Aus"
                " Text."
            ),
        ),
    ),
    (
        (
            "Read the response time report",
            (
                "The report shows the median of the first answer and of the whole resolution, in working hours or in "
                "calendar time."
            ),
            (
                "Open Reports, then Response time.",
                "Choose an inbox and a period of at most 90 days.",
                "Click a bar to see the conversations behind it.",
            ),
            "Numbers of today are provisional; the night run at 02:00 UTC makes them final.",
        ),
        (
            "Den Bericht Antwortzeit lesen",
            (
                "Der Bericht zeigt den Median der ersten Antwort und der gesamten Lösung, in Arbeitszeit oder in "
                "Kalenderzeit."
            ),
            (
                "Öffnen Sie Berichte und dann Antwortzeit.",
                "Wählen Sie einen Posteingang und einen Zeitraum von höchstens 90 Tagen.",
                "Klicken Sie auf einen Balken, um die Gespräche dahinter zu sehen.",
            ),
            "Die Zahlen von heute sind vorläufig; der Nachtlauf um 02:00 UTC macht sie endgültig.",
        ),
    ),
    (
        (
            "Create a webhook",
            "A webhook tells your own server about new conversations and messages. Each delivery is signed.",
            (
                "Open Settings, then Developers, then Webhooks.",
                "Type an https address and choose the events.",
                "Copy the secret and check the signature of each delivery.",
            ),
            "Answer within five seconds. Failed deliveries are repeated for 24 hours with growing pauses.",
        ),
        (
            "Webhook anlegen",
            "Ein Webhook meldet Ihrem Server neue Gespräche und Nachrichten. Jede Zustellung ist signiert.",
            (
                "Öffnen Sie Einstellungen, dann Entwickler, dann Webhooks.",
                "Geben Sie eine https-Adresse ein und wählen Sie die Ereignisse.",
                "Kopieren Sie das Geheimnis und prüfen Sie die Signatur jeder Zustellung.",
            ),
            (
                "Antworten Sie innerhalb von fünf Sekunden. Fehlgeschlagene Zustellungen werden 24 Stunden mit "
                "wachsenden Pausen wiederholt."
            ),
        ),
    ),
    (
        (
            "API keys and rate limits",
            "A key acts for the agent who made it. The limit is 120 requests a minute for each key.",
            (
                "Open Profile, then API keys, and choose New key.",
                "Copy the key now; it is shown only once.",
                "Send it in the header of each request.",
            ),
            "An answer 429 names the seconds to wait. A lost key cannot be shown again: revoke it and make a new one.",
        ),
        (
            "API-Schlüssel und Grenzen",
            (
                "Ein Schlüssel handelt für den Agenten, der ihn angelegt hat. Die Grenze liegt bei 120 Anfragen je "
                "Minute und Schlüssel."
            ),
            (
                "Öffnen Sie Profil, dann API-Schlüssel, und wählen Sie Neuer Schlüssel.",
                "Kopieren Sie den Schlüssel sofort; er wird nur einmal gezeigt.",
                "Senden Sie ihn im Kopf jeder Anfrage mit.",
            ),
            (
                "Eine Antwort 429 nennt die Wartezeit in Sekunden. Ein verlorener Schlüssel wird nicht erneut "
                "gezeigt: Widerrufen Sie ihn und legen Sie einen neuen an."
            ),
        ),
    ),
    (
        (
            "Delete a customer's data",
            "When a customer asks for erasure, delete the contact with all conversations and files.",
            (
                "Open the contact and choose Privacy.",
                "Select Erase personal data and type the address to confirm.",
                "Download the receipt for your records.",
            ),
            "Erasure finishes within 48 hours, also in backups after 30 days. Invoices are kept as the law demands.",
        ),
        (
            "Kundendaten löschen",
            "Verlangt ein Kunde die Löschung, entfernen Sie den Kontakt mit allen Gesprächen und Dateien.",
            (
                "Öffnen Sie den Kontakt und wählen Sie Datenschutz.",
                "Wählen Sie Personenbezogene Daten löschen und geben Sie zur Bestätigung die Adresse ein.",
                "Laden Sie den Nachweis für Ihre Unterlagen herunter.",
            ),
            (
                "Die Löschung endet innerhalb von 48 Stunden, in Sicherungen nach 30 Tagen. Rechnungen bewahren wir "
                "auf, wie es das Gesetz verlangt."
            ),
        ),
    ),
    (
        (
            "Notifications on your phone",
            "The mobile app tells you about conversations assigned to you. Quiet hours silence it at night.",
            (
                "Install the app and sign in.",
                "Allow notifications when the phone asks.",
                "Set quiet hours under Profile, Notifications.",
            ),
            "Silent pushes on Android? Exclude the app from battery saving.",
        ),
        (
            "Benachrichtigungen auf dem Telefon",
            "Die mobile App meldet Ihnen zugewiesene Gespräche. Ruhezeiten schalten sie nachts stumm.",
            (
                "Installieren Sie die App und melden Sie sich an.",
                "Erlauben Sie Benachrichtigungen, wenn das Telefon fragt.",
                "Legen Sie Ruhezeiten unter Profil, Benachrichtigungen fest.",
            ),
            "Stumme Meldungen unter Android? Nehmen Sie die App vom Energiesparen aus.",
        ),
    ),
    (
        (
            "Cancel your subscription",
            "You can cancel until the last day of the period. Your data stays available for 60 days afterwards.",
            (
                "Export what you want to keep.",
                "Open Settings, then Billing, and choose Cancel.",
                "Tell us the reason and confirm by mail.",
            ),
            "Changed your mind? Choose Resume within 60 days and everything is as it was.",
        ),
        (
            "Abonnement kündigen",
            "Sie können bis zum letzten Tag des Zeitraums kündigen. Ihre Daten bleiben danach 60 Tage verfügbar.",
            (
                "Exportieren Sie, was Sie behalten möchten.",
                "Öffnen Sie Einstellungen, dann Abrechnung, und wählen Sie Kündigen.",
                "Nennen Sie uns den Grund und bestätigen Sie per E-Mail.",
            ),
            "Haben Sie es sich anders überlegt? Wählen Sie innerhalb von 60 Tagen Fortsetzen, und alles ist wie zuvor.",
        ),
    ),
    (
        (
            "Contact our support team",
            (
                "We answer from Monday to Friday, 08:00 to 18:00 UTC. Critical faults are taken day and night on the "
                "Business plan."
            ),
            (
                "Look at the status page first.",
                "Describe what you did, what you expected, and what happened.",
                "Add a screenshot and the request id from the error message.",
            ),
            "The first answer comes within four working hours, for critical faults within 30 minutes.",
        ),
        (
            "Unser Support-Team erreichen",
            (
                "Wir antworten von Montag bis Freitag, 08:00 bis 18:00 UTC. Kritische Störungen nehmen wir im "
                "Business-Tarif Tag und Nacht an."
            ),
            (
                "Sehen Sie zuerst auf die Statusseite.",
                "Beschreiben Sie, was Sie getan, erwartet und gesehen haben.",
                "Fügen Sie ein Bildschirmfoto und die Anfrage-ID aus der Fehlermeldung hinzu.",
            ),
            (
                "Die erste Antwort kommt innerhalb von vier Arbeitsstunden, bei kritischen Störungen innerhalb von 30"
                " Minuten."
            ),
        ),
    ),
]


def page(text: Text, heading: str, note: str) -> tuple[str, str]:
    """Title and HTML body of one article."""
    title, introduction, steps, more = text
    items = "".join(f"<li>{step}</li>" for step in steps)
    return title, f"<p>{introduction}</p><h2>{heading}</h2><ol>{items}</ol><h3>{note}</h3><p>{more}</p>"


ARTICLES = [
    (page(en, "Step by step", "Good to know"), page(de, "Schritt für Schritt", "Gut zu wissen")) for en, de in TEXTS
]
