"""Who and what the demo is about: the same people, products, posts and tickets at every provider."""

DAY = 86_400
PEOPLE = [  # first name, last name, e-mail, phone, company, city, country; the last one is known to nobody else
    ("Ada", "Lindgren", "ada.lindgren@northwind.example", "+14155550101", "Northwind Traders", "Oslo", "Norway"),
    ("Ben", "Okafor", "ben.okafor@bluepeak.example", "+14155550102", "Bluepeak Outdoor", "Austin", "United States"),
    ("Carla", "Moreau", "carla.moreau@fernhill.example", "+33155550103", "Fernhill Foods", "Lyon", "France"),
    ("Dimitri", "Novak", "dimitri.novak@oakline.example", "+14155550104", "Oakline Studio", "Berlin", "Germany"),
    ("Elena", "Costa", "elena.costa@tidewater.example", "+14155550105", "Tidewater Labs", "Lisbon", "Portugal"),
]
PRODUCTS = [
    ("Starter plan", "19", "One inbox, two agents, e-mail and chat. Billed monthly, no set-up fee."),
    ("Growth plan", "59", "Five inboxes, ten agents, saved replies, working hours and reports."),
    ("Business plan", "149", "Single sign-on, audit log, custom roles, and a 99.9 % availability promise."),
    (
        "Onboarding package",
        "499",
        "Three guided sessions: import of your data, set-up of channels, training of agents.",
    ),
]
POSTS = [
    (
        "How Northwind halved its first response time",
        (
            "<p>Northwind Traders answers 1,200 conversations a week with six agents.</p><h2>What changed</h2><p>They "
            "wrote saved replies for the ten most common questions, and let working hours set expectations.</p>"
        ),
    ),
    (
        "Five signs that your help centre needs pruning",
        (
            "<p>An article that nobody reads costs more than none.</p><h2>Look for duplicates</h2><p>Search your help "
            "centre for the three words that customers use most, and merge what says the same thing twice.</p>"
        ),
    ),
    (
        "Meet the new delivery tracking page",
        (
            "<p>Customers can follow a parcel without asking.</p><h2>How it works</h2><p>The page reads the carrier's "
            "events every 15 minutes, and shows the next step in plain words.</p>"
        ),
    ),
]
TICKETS = [
    (
        0,
        "Invoice shows the wrong VAT number",
        "Our VAT number changed in March, the invoice still has the old one.",
        "open",
    ),
    (
        1,
        "Parcel is marked as delivered but never arrived",
        "Order 4471 is missing, please check with the carrier.",
        "pending",
    ),
    (2, "Cannot add a second agent", "The button is grey although we pay for ten seats.", "solved"),
]
